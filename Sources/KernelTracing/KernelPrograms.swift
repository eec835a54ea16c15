import BPFRuntime
import CLibBPF
import CTraceABI
import CTraceObjects
import Glibc
import Symbolization

/// The loaded programs and what they are attached to.
final class KernelPrograms {
  let object: BPFObject
  let tables: KernelTables
  private(set) var links: [Link] = []
  private(set) var active: [ActiveHook] = []
  /// Hooks that no way led to, and why.
  private(set) var missing: [(hook: KernelHook, reason: String)] = []
  private let usedPrograms: [String]

  struct ActiveHook {
    var hook: KernelHook
    /// `raw tracepoint` or `kprobe`.
    var method: String
    /// What it is attached to.
    var target: String
    var programs: [String]
  }

  /// Loads the programs of the sources that are traced. Nothing is attached yet.
  init(
    _ configuration: KernelTraceConfiguration, interrupts: [Range<UInt64>], callSites: [Range<UInt64>],
    cacheNames: Set<String>
  ) throws(BPFError) {
    let image = ctrace_kernel_allocations()
    let open = try OpenBPFObject(
      name: "kernel_allocations", bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    let places = max(64, configuration.maximumAllocations + configuration.maximumAllocations / 3)
    let buckets = (places + Int(LT_BUCKET_ENTRIES) - 1) / Int(LT_BUCKET_ENTRIES)
    let siteCount = min(Int(LT_MAX_SITES) - 1, max(64, configuration.maximumSites * 2))
    let cpus = UInt32(BPFMap.possibleCPUs)
    try open.setMaxEntries(UInt32(buckets), ofMap: "blocks")
    try open.setMaxEntries(UInt32(siteCount), ofMap: "sites")
    let takesStacks = configuration.stacks != .none
    try open.setMaxEntries(UInt32(takesStacks ? max(64, configuration.maximumSites) : 1), ofMap: "short_stacks")
    try open.setMaxEntries(UInt32(takesStacks ? max(64, configuration.maximumSites / 8) : 1), ofMap: "stacks")
    try open.setMaxEntries(cpus * 4, ofMap: "scratch")
    try open.configure(
      Self.values(
        for: configuration, buckets: buckets, siteCount: siteCount, cpus: cpus, interrupts: interrupts,
        callSites: callSites, cacheNames: cacheNames))
    let wanted = KernelHook.all.filter { configuration.sources.contains($0.source) }
    let programs = Set(wanted.flatMap { $0.ways.flatMap(\.programs) } + ["on_exit"])
    for program in Self.allPrograms { try open.setLoaded(programs.contains(program), program: program) }
    object = try open.load()
    usedPrograms = programs.sorted()
    tables = try KernelTables(object: object, bucketCount: buckets, siteCount: siteCount)
    let wantedCaches = try object.map("wanted_caches")
    for name in cacheNames {
      var text: KernelCacheName = (0, 0, 0, 0)
      let bytes = Array(name.utf8.prefix(Int(LT_KERNEL_CACHE_NAME) - 1))
      withUnsafeMutableBytes(of: &text) { $0.copyBytes(from: bytes) }
      try wantedCaches.set(UInt32(1), for: text)
    }
  }

  /// `char[LT_KERNEL_CACHE_NAME]`.
  private typealias KernelCacheName = (UInt64, UInt64, UInt64, UInt64)

  private static let allPrograms = Set(KernelHook.all.flatMap { $0.ways.flatMap(\.programs) } + ["on_exit"]).sorted()

  /// Attaches what sees frees first: a block whose free went unseen would look leaked.
  func attach(_ configuration: KernelTraceConfiguration) throws(BPFError) {
    links.append(try Link.rawTracepoint(object.program("on_exit"), name: "sched_process_exit"))
    let wanted = KernelHook.all.filter { configuration.sources.contains($0.source) }
    let ordered = wanted.filter(\.seesFrees) + wanted.filter { !$0.seesFrees }
    for hook in ordered {
      var reasons: [String] = []
      let isAttached = hook.ways.contains { way in
        do {
          try attach(hook, way)
          return true
        } catch {
          reasons.append("\(error)")
          return false
        }
      }
      if !isAttached { missing.append((hook, reasons.last ?? "")) }
    }
  }

  private func attach(_ hook: KernelHook, _ way: KernelHook.Way) throws(BPFError) {
    var target = ""
    var method = "kprobe"
    switch way {
    case .rawTracepoint(let program, let names):
      method = "raw tracepoint"
      target = names[0]
      links.append(try Link.rawTracepoint(object.program(program), name: names[0]))
      for name in names.dropFirst() {
        if let link = try? Link.rawTracepoint(object.program(program), name: name) { links.append(link) }
      }
    case .kprobe(let program, let functions, let isReturn):
      target = try firstAttached(functions) { function throws(BPFError) in
        links.append(try Link.kprobe(object.program(program), function: function, isReturn: isReturn))
      }
      if isReturn { method = "kretprobe" }
    case .kprobePair(let entry, let exit, let functions):
      target = try firstAttached(functions) { function throws(BPFError) in
        links.append(try Link.kprobe(object.program(exit), function: function, isReturn: true))
        links.append(try Link.kprobe(object.program(entry), function: function, isReturn: false))
      }
    }
    active.append(ActiveHook(hook: hook, method: method, target: target, programs: way.programs))
  }

  private func firstAttached(
    _ functions: [String], _ attach: (String) throws(BPFError) -> Void
  ) throws(BPFError) -> String {
    var last = BPFError(operation: "attach", code: ENOENT)
    for function in functions {
      do {
        try attach(function)
        return function
      } catch { last = error }
    }
    throw last
  }

  func detach() {
    links = []
    Link.finishDetaching()
  }

  /// How often the kernel left a program out because one of the same kind was running on that CPU.
  var recursionMisses: UInt64 {
    usedPrograms.reduce(0) { sum, name in
      guard let program = try? object.program(name) else { return sum }
      return sum + UInt64(max(0, clibbpf_recursion_misses(program.descriptor)))
    }
  }

  // MARK: Values for the programs

  private static func values(
    for configuration: KernelTraceConfiguration, buckets: Int, siteCount: Int, cpus: UInt32,
    interrupts: [Range<UInt64>], callSites: [Range<UInt64>], cacheNames: Set<String>
  ) -> lt_kernel_configuration {
    var values = lt_kernel_configuration()
    values.minimum_size = configuration.sizes.lowerBound
    values.maximum_size = configuration.sizes.upperBound
    values.cgroup = configuration.cgroup?.identifier ?? 0
    values.cgroup_level = configuration.cgroup?.level ?? 0
    values.process_id = UInt32(configuration.processID)
    values.own_process_id = UInt32(getpid())
    if let name = configuration.commandName {
      values.has_comm = 1
      withUnsafeMutableBytes(of: &values.comm) { $0.copyBytes(from: name.utf8.prefix(15)) }
    }
    values.block_buckets = UInt32(buckets)
    values.site_count = UInt32(siteCount)
    values.maximum_blocks = UInt32(configuration.maximumAllocations)
    values.all_stacks = configuration.stacks == .all ? 1 : 0
    values.no_stacks = configuration.stacks == .none ? 1 : 0
    values.cache_filter = cacheNames.isEmpty ? 0 : 1
    values.possible_cpus = cpus
    let interrupts = interrupts.prefix(Int(LT_KERNEL_MAX_RANGES))
    values.interrupt_range_count = UInt32(interrupts.count)
    let callSites = callSites.prefix(Int(LT_KERNEL_MAX_RANGES))
    values.call_site_range_count = UInt32(callSites.count)
    withUnsafeMutableBytes(of: &values.interrupts) { bytes in
      for (index, range) in interrupts.enumerated() {
        bytes.bindMemory(to: lt_kernel_range.self)[index] = lt_kernel_range(start: range.lowerBound, end: range.upperBound)
      }
    }
    withUnsafeMutableBytes(of: &values.call_sites) { bytes in
      for (index, range) in callSites.enumerated() {
        bytes.bindMemory(to: lt_kernel_range.self)[index] = lt_kernel_range(start: range.lowerBound, end: range.upperBound)
      }
    }
    setArguments(&values)
    return values
  }

  /// Where tracepoints have their arguments, by the kernel's own type information.
  private static func setArguments(_ values: inout lt_kernel_configuration) {
    var count: UInt32 = 0
    let kmalloc = clibbpf_tracepoint_pointers("kmalloc", &count)
    values.kmalloc_has_cache = kmalloc > 0 && kmalloc & 0b100 != 0 ? 1 : 0
    let cache = clibbpf_tracepoint_pointers("kmem_cache_alloc", &count)
    values.cache_alloc_has_cache = cache > 0 && cache & 0b100 != 0 ? 1 : 0
    values.cache_alloc_has_sizes = cache > 0 && count >= 6 ? 1 : 0
    if clibbpf_tracepoint_pointers("percpu_alloc_percpu", &count) > 0 {
      values.percpu_has_call_site = count >= 10 ? 1 : 0
    }
  }
}

extension KernelHook {
  var seesFrees: Bool { name.contains("free") }
}
