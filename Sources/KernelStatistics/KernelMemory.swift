import Glibc
import ProcessImage
import TraceModel

/// Where the kernel says its memory is, at one moment: `/proc/meminfo`, slabinfo and vmallocinfo together.
package struct KernelMemory: Sendable {
  /// Bytes by the names of `/proc/meminfo`.
  package var meminfo: [String: UInt64]
  package var slab: SlabCaches
  package var vmalloc: [VmallocRange]

  /// One range of `/proc/vmallocinfo`.
  package struct VmallocRange: Hashable, Sendable {
    package var function: String
    /// Bytes from the start of `function` to the call.
    package var offset: UInt64?
    /// Bytes of address space, the page that guards the range included.
    package var mappedBytes: UInt64
    /// The part of it that is memory of its own.
    package var memoryBytes: UInt64
  }

  /// Ranges that one kernel function has mapped.
  package struct VmallocCaller: Hashable, Sendable {
    package var function: String
    /// Bytes of address space and the part of it that is memory of its own.
    package var mappedBytes: UInt64
    package var memoryBytes: UInt64
    package var count: UInt64
  }

  package init(meminfo: String, slab: SlabCaches, vmallocinfo: String) {
    self.meminfo = Self.parse(meminfo: meminfo)
    self.slab = slab
    vmalloc = Self.parse(vmallocinfo: vmallocinfo)
  }

  package static func current() -> KernelMemory {
    func text(_ path: String) -> String {
      (try? readFile(path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    return KernelMemory(
      meminfo: text("/proc/meminfo"), slab: .current(), vmallocinfo: text("/proc/vmallocinfo"))
  }

  static func parse(meminfo: String) -> [String: UInt64] {
    var values: [String: UInt64] = [:]
    for line in meminfo.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 2, fields[0].hasSuffix(":"), let number = UInt64(fields[1]) else { continue }
      let unit: UInt64 = fields.count > 2 && fields[2] == "kB" ? 1024 : 1
      values[String(fields[0].dropLast())] = number.multipliedReportingOverflow(by: unit).partialValue
    }
    return values
  }

  static func parse(vmallocinfo: String) -> [VmallocRange] {
    vmallocinfo.split(separator: "\n").compactMap { line in
      // START-END SIZE CALLER+OFFSET/LENGTH [pages=N] [phys=…] KIND; ranges that are freed already are "unpurged".
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 2, let size = UInt64(fields[1]), !fields.dropFirst(2).contains("unpurged") else {
        return nil
      }
      let pages = fields.first { $0.hasPrefix("pages=") }.flatMap { UInt64($0.dropFirst(6)) } ?? 0
      let (bytes, overflow) = pages.multipliedReportingOverflow(by: 4096)
      var range = VmallocRange(
        function: "unknown", offset: nil, mappedBytes: size, memoryBytes: overflow ? 0 : bytes)
      if fields.count > 2, !fields[2].contains("=") {
        let parts = fields[2].split(separator: "+", maxSplits: 1)
        range.function = String(parts[0])
        if parts.count > 1, let text = parts[1].split(separator: "/").first, text.hasPrefix("0x") {
          range.offset = UInt64(text.dropFirst(2), radix: 16)
        }
      }
      return range
    }
  }

  /// Ranges by the function that mapped them, those with most memory first.
  package var vmallocCallers: [VmallocCaller] {
    var callers: [String: VmallocCaller] = [:]
    for range in vmalloc {
      var caller =
        callers[range.function]
        ?? VmallocCaller(function: range.function, mappedBytes: 0, memoryBytes: 0, count: 0)
      caller.mappedBytes &+= range.mappedBytes
      caller.memoryBytes &+= range.memoryBytes
      caller.count += 1
      callers[range.function] = caller
    }
    return callers.values.sorted {
      ($0.memoryBytes, $0.mappedBytes, $1.function) > ($1.memoryBytes, $1.mappedBytes, $0.function)
    }
  }

  package var vmallocBytes: UInt64 { vmalloc.reduce(0) { $0 &+ $1.memoryBytes } }

  /// One line of where memory is.
  package struct Share: Hashable, Sendable {
    package var kind: Kind
    package var bytes: UInt64
  }

  package enum Kind: String, CaseIterable, Sendable {
    case free
    case programs = "programs (anonymous)"
    case files = "files (page cache)"
    case shared = "shared memory and tmpfs"
    case hugePages = "huge pages"
    case reclaimableSlab = "slab, reclaimable"
    case unreclaimableSlab = "slab, unreclaimable"
    case vmalloc
    case percpu = "per-CPU"
    case threadStacks = "stacks of threads"
    case pageTables = "page tables"
    /// Pages that the kernel gave out and nobody accounts for: those that drivers took for themselves, for one.
    case unaccounted

    /// Whether the memory is the kernel's own, and not held for programs and files.
    package var isKernel: Bool {
      switch self {
      case .free, .programs, .files, .shared, .hugePages: false
      default: true
      }
    }
  }

  /// Everything that the kernel accounts for, and last what it does not; the lines add up to the memory of the host. nil
  /// where `/proc/meminfo` cannot be read.
  package func shares() -> [Share]? {
    guard let total = meminfo["MemTotal"], meminfo["MemFree"] != nil else { return nil }
    func bytes(_ names: String...) -> UInt64 { names.reduce(0) { $0 &+ (meminfo[$1] ?? 0) } }
    // On some kernels the stacks of threads are vmalloc memory: they are counted once.
    let mappedStacks = vmalloc.filter { Self.stackAllocators.contains($0.function) }.reduce(0) { $0 &+ $1.memoryBytes }
    let cached = bytes("Cached", "Buffers", "SwapCached")
    let shared = bytes("Shmem")
    var shares = Kind.allCases.dropLast().map { kind in
      let amount: UInt64 =
        switch kind {
        case .free: bytes("MemFree")
        case .programs: bytes("AnonPages")
        case .files: cached - min(cached, shared)
        case .shared: shared
        case .hugePages: bytes("Hugetlb")
        case .reclaimableSlab: bytes("SReclaimable")
        case .unreclaimableSlab: bytes("SUnreclaim")
        case .vmalloc: vmallocBytes - min(vmallocBytes, mappedStacks)
        case .percpu: bytes("Percpu")
        case .threadStacks: max(bytes("KernelStack"), mappedStacks)
        case .pageTables: bytes("PageTables", "SecPageTables")
        case .unaccounted: 0
        }
      return Share(kind: kind, bytes: amount)
    }
    let known = shares.reduce(0) { $0 &+ $1.bytes }
    shares.append(Share(kind: .unaccounted, bytes: total - min(total, known)))
    return shares
  }

  /// Where memory is, the largest caches and users of vmalloc included, in the words of reports; nil without meminfo.
  package func summary(limit: Int) -> KernelMemorySummary? {
    guard let shares = shares() else { return nil }
    var summary = KernelMemorySummary(
      shares: shares.map {
        KernelMemorySummary.Share(name: $0.kind.rawValue, bytes: $0.bytes, isKernel: $0.kind.isKernel)
      })
    let caches = slab.caches.sorted { ($0.sizeInBytes, $1.name) > ($1.sizeInBytes, $0.name) }
    summary.slabUse = caches.prefix(limit).map { cache in
      KernelMemorySummary.Use(
        name: cache.name, aliases: slab.aliases(of: cache.name).filter { $0 != cache.name }, bytes: cache.sizeInBytes,
        count: cache.activeObjects, isReclaimable: slab.isReclaimable(cache.name))
    }
    summary.vmallocUse = vmallocCallers.filter { $0.memoryBytes > 0 }.prefix(limit).map {
      KernelMemorySummary.Use(name: $0.function, bytes: $0.memoryBytes, count: $0.count)
    }
    return summary
  }

  /// Who maps the stacks of threads, by kernel version.
  private static let stackAllocators: Set<String> = [
    "kernel_clone", "copy_process", "dup_task_struct", "alloc_thread_stack_node",
  ]
}
