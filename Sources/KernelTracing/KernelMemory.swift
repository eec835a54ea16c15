import Glibc
import ProcessImage

/// Where the kernel says its memory is, at one moment: `/proc/meminfo`, slabinfo and vmallocinfo together.
package struct KernelMemory: Sendable {
  /// Bytes by the names of `/proc/meminfo`.
  package var meminfo: [String: UInt64]
  package var slab: SlabCaches
  package var vmalloc: [VmallocCaller]

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

  static func parse(vmallocinfo: String) -> [VmallocCaller] {
    var callers: [String: VmallocCaller] = [:]
    for line in vmallocinfo.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 2, let size = UInt64(fields[1]) else { continue }
      let function = fields.count > 2 ? fields[2].split(separator: "+")[0] : "unknown"
      let name = String(function)
      // A range has a guard page behind it.
      let pages = fields.first { $0.hasPrefix("pages=") }.flatMap { UInt64($0.dropFirst(6)) } ?? 0
      var caller =
        callers[name] ?? VmallocCaller(function: name, mappedBytes: 0, memoryBytes: 0, count: 0)
      caller.mappedBytes += size
      caller.memoryBytes += pages * 4096
      caller.count += 1
      callers[name] = caller
    }
    return callers.values.sorted { ($0.memoryBytes, $0.mappedBytes, $1.function) > ($1.memoryBytes, $1.mappedBytes, $0.function) }
  }

  package var vmallocBytes: UInt64 { vmalloc.reduce(0) { $0 + $1.memoryBytes } }

  /// One line of where memory is. The lines add up to the memory of the host.
  package struct Share: Hashable, Sendable {
    package var name: String
    package var bytes: UInt64
    /// Whether it is the kernel's own, not held for programs and files.
    package var isKernel: Bool
  }

  /// Everything that the kernel accounts for, and last what it does not: pages that drivers and others took for
  /// themselves. nil where `/proc/meminfo` cannot be read.
  package func shares() -> [Share]? {
    guard let total = meminfo["MemTotal"], let free = meminfo["MemFree"] else { return nil }
    func bytes(_ names: String...) -> UInt64 { names.reduce(0) { $0 + (meminfo[$1] ?? 0) } }
    // Stacks of threads are vmalloc memory where the kernel maps them so.
    let stacks = bytes("KernelStack")
    let mappedStacks = vmalloc.filter { Self.stackAllocators.contains($0.function) }.reduce(0) { $0 + $1.memoryBytes }
    let cached = bytes("Cached", "Buffers", "SwapCached")
    let shared = bytes("Shmem")
    var shares = [
      Share(name: "free", bytes: free, isKernel: false),
      Share(name: "programs (anonymous)", bytes: bytes("AnonPages"), isKernel: false),
      Share(name: "files (page cache)", bytes: cached - min(cached, shared), isKernel: false),
      Share(name: "shared memory and tmpfs", bytes: shared, isKernel: false),
      Share(name: "huge pages", bytes: bytes("Hugetlb"), isKernel: false),
      Share(name: "slab, reclaimable", bytes: bytes("SReclaimable"), isKernel: true),
      Share(name: "slab, unreclaimable", bytes: bytes("SUnreclaim"), isKernel: true),
      Share(name: "vmalloc", bytes: vmallocBytes - min(vmallocBytes, mappedStacks), isKernel: true),
      Share(name: "per-CPU", bytes: bytes("Percpu"), isKernel: true),
      Share(name: "stacks of threads", bytes: max(stacks, mappedStacks), isKernel: true),
      Share(name: "page tables", bytes: bytes("PageTables", "SecPageTables"), isKernel: true),
    ]
    let known = shares.reduce(0) { $0 + $1.bytes }
    shares.append(Share(name: "unaccounted", bytes: total - min(total, known), isKernel: true))
    return shares
  }

  /// Who maps the stacks of threads, by kernel version.
  private static let stackAllocators: Set<String> = [
    "kernel_clone", "copy_process", "dup_task_struct", "alloc_thread_stack_node",
  ]
}
