import Accounting
import BPFRuntime
import CLibBPF
import CTraceABI
import CTraceObjects
import Glibc
import SystemSupport

/// The loaded programs and what they are attached to.
final class KernelPrograms {
  let object: BPFObject
  let tables: KernelTables
  /// nil unless events were asked for.
  let events: RingBuffer?
  private var links: [Link] = []
  private(set) var active: [ActiveHook] = []
  /// Hooks that could be attached in none of their ways, and why.
  private(set) var missing: [(hook: KernelHook, reason: String)] = []
  private let wanted: [KernelHook]
  private let usedPrograms: [String]
  /// The cgroup's directory, or −1 for none. It stays open for as long as the map refers to the cgroup.
  private let cgroup: Int32

  struct ActiveHook {
    var hook: KernelHook
    var method: KernelHook.Method
    /// What it is attached to.
    var target: String
  }

  /// What the programs are told in addition to the configuration.
  struct Surroundings {
    var interrupts: [Range<UInt64>] = []
    var callSites: [Range<UInt64>] = []
    var cacheNames: Set<String> = []
    var vmemmapPointer: UInt64 = 0
    var pageOffsetPointer: UInt64 = 0
    var bucketCount = 0
    var siteCount = 0
    var possibleCPUs: UInt32 = 1
    var knowsInterrupts = true
  }

  /// Loads the programs of the sources that are traced. Nothing is attached yet.
  init(_ configuration: KernelTraceConfiguration, _ surroundings: Surroundings) throws {
    var surroundings = surroundings
    let image = ctrace_kernel_allocations()
    let open = try OpenBPFObject(
      name: "kernel_allocations", bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    // Half as many more, in which blocks find a place until the table is thinned.
    let reserve = configuration.isExact ? 0 : configuration.maximumAllocations / 2
    surroundings.bucketCount = BlockTable.bucketCount(forBlocks: configuration.maximumAllocations + reserve)
    surroundings.siteCount = min(Int(LT_MAX_SITES) - 1, max(64, configuration.maximumSites * 2))
    surroundings.possibleCPUs = UInt32(BPFMap.possibleCPUs)
    // On a real-time kernel, a soft interrupt can be put aside while other tasks run.
    surroundings.knowsInterrupts = access("/sys/kernel/realtime", F_OK) != 0
    try open.setMaxEntries(UInt32(surroundings.bucketCount), ofMap: "blocks")
    try open.setMaxEntries(UInt32(surroundings.siteCount), ofMap: "sites")
    let takesStacks = configuration.stacks != .none
    try open.setMaxEntries(UInt32(takesStacks ? max(64, configuration.maximumSites) : 1), ofMap: "short_stacks")
    try open.setMaxEntries(UInt32(takesStacks ? max(64, configuration.maximumSites / 8) : 1), ofMap: "stacks")
    try open.setMaxEntries(surroundings.possibleCPUs * 4, ofMap: "scratch")
    if configuration.emitsEvents { try open.setMaxEntries(1 << 20, ofMap: "events") }
    try open.configure(Self.values(for: configuration, surroundings))

    let hasKprobes = clibbpf_has_kprobes()
    wanted = KernelHook.all.filter { configuration.sources.contains($0.source) }.map { hook in
      var hook = hook
      hook.ways.removeAll {
        !configuration.methods.contains($0.method) || ($0.method != .rawTracepoint && !hasKprobes)
      }
      return hook
    }
    var programs = Set(wanted.flatMap { $0.ways.flatMap(\.programs) } + ["on_exit"])
    if surroundings.knowsInterrupts { programs.formUnion(["on_interrupt_entry", "on_interrupt_exit"]) }
    for program in Self.allPrograms { try open.setLoaded(programs.contains(program), program: program) }
    object = try open.load()
    usedPrograms = programs.sorted()
    tables = try KernelTables(
      object: object, bucketCount: surroundings.bucketCount, siteCount: surroundings.siteCount)
    events = configuration.emitsEvents ? try RingBuffer(map: object.map("events")) : nil
    cgroup = try Self.openCgroup(configuration.cgroupDirectory)
    if cgroup >= 0 { try object.map("cgroups").set(UInt32(bitPattern: cgroup), for: UInt32(0)) }
    let wantedProcesses = try object.map("wanted_processes")
    for processID in configuration.processIDs { try wantedProcesses.set(UInt32(1), for: UInt32(clamping: processID)) }
    let wantedCaches = try object.map("wanted_caches")
    for name in surroundings.cacheNames {
      var text = CacheName()
      let bytes = name.utf8.prefix(Int(LT_KERNEL_CACHE_NAME) - 1)
      withUnsafeMutableBytes(of: &text) { $0.copyBytes(from: bytes) }
      try wantedCaches.set(UInt32(1), for: text)
    }
  }

  deinit { if cgroup >= 0 { close(cgroup) } }

  /// `char[LT_KERNEL_CACHE_NAME]`.
  private struct CacheName: BitwiseCopyable {
    var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
  }

  private static let allPrograms = Set(
    KernelHook.all.flatMap { $0.ways.flatMap(\.programs) } + ["on_exit", "on_interrupt_entry", "on_interrupt_exit"]
  ).sorted()

  private static func openCgroup(_ path: String?) throws -> Int32 {
    guard let path else { return -1 }
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Refusal("--cgroup \(path): \(errorMessage(errno))") }
    return descriptor
  }

  // MARK: Attaching

  /// Attaches the hooks that see frees before the others: a block whose free went unseen would look leaked.
  func attach() throws(BPFError) {
    links.append(try Link.rawTracepoint(object.program("on_exit"), name: "sched_process_exit"))
    if usedPrograms.contains("on_interrupt_exit") {
      for area in ["softirq", "irq_handler"] {
        links.append(try Link.rawTracepoint(object.program("on_interrupt_exit"), name: area + "_exit"))
        links.append(try Link.rawTracepoint(object.program("on_interrupt_entry"), name: area + "_entry"))
      }
    }
    for hook in wanted.filter(\.seesFrees) + wanted.filter({ !$0.seesFrees }) {
      var reason = "this kernel has no kprobes"
      let isAttached = hook.ways.contains { way in
        do {
          active.append(ActiveHook(hook: hook, method: way.method, target: try attach(way)))
          return true
        } catch {
          reason = "\(error)"
          return false
        }
      }
      if !isAttached { missing.append((hook, reason)) }
    }
  }

  /// Attaches in one way and returns what was attached to.
  private func attach(_ way: KernelHook.Way) throws(BPFError) -> String {
    switch way {
    case .rawTracepoint(let program, let names):
      links.append(try Link.rawTracepoint(object.program(program), name: names[0]))
      for name in names.dropFirst() {
        if let link = try? Link.rawTracepoint(object.program(program), name: name) { links.append(link) }
      }
      return names[0]
    case .kprobe(let program, let functions):
      return try firstAttached(functions) { function throws(BPFError) in
        links.append(try Link.kprobe(object.program(program), function: function, isReturn: false))
      }
    case .kretprobe(let program, let functions):
      return try firstAttached(functions) { function throws(BPFError) in
        links.append(try Link.kprobe(object.program(program), function: function, isReturn: true))
      }
    case .kprobePair(let entry, let exit, let functions):
      return try firstAttached(functions) { function throws(BPFError) in
        links.append(try Link.kprobe(object.program(exit), function: function, isReturn: true))
        links.append(try Link.kprobe(object.program(entry), function: function, isReturn: false))
      }
    }
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

  /// How often the kernel did not run a program because it was running already on that CPU.
  var recursionMisses: UInt64 {
    usedPrograms.reduce(0) { sum, name in
      guard let program = try? object.program(name) else { return sum }
      return sum + UInt64(max(0, clibbpf_recursion_misses(program.descriptor)))
    }
  }

  // MARK: Values for the programs

  private static func values(
    for configuration: KernelTraceConfiguration, _ surroundings: Surroundings
  ) -> lt_kernel_configuration {
    var values = lt_kernel_configuration()
    values.minimum_size = configuration.sizes.lowerBound
    values.maximum_size = configuration.sizes.upperBound
    values.vmemmap_pointer = surroundings.vmemmapPointer
    values.page_offset_pointer = surroundings.pageOffsetPointer
    values.process_id = UInt32(clamping: configuration.processIDs.first ?? 0)
    values.has_more_processes = configuration.processIDs.count > 1 ? 1 : 0
    values.own_process_id = UInt32(getpid())
    values.has_cgroup = configuration.cgroupDirectory == nil ? 0 : 1
    if let name = configuration.commandName {
      values.has_comm = 1
      withUnsafeMutableBytes(of: &values.comm) { $0.copyBytes(from: name.utf8.prefix(15)) }
    }
    values.block_buckets = UInt32(surroundings.bucketCount)
    values.site_count = UInt32(surroundings.siteCount)
    values.all_stacks = configuration.stacks == .all ? 1 : 0
    values.no_stacks = configuration.stacks == .none ? 1 : 0
    values.cache_filter = surroundings.cacheNames.isEmpty ? 0 : 1
    values.possible_cpus = surroundings.possibleCPUs
    values.knows_interrupts = surroundings.knowsInterrupts ? 1 : 0
    values.sample_every_nth = UInt32(configuration.sampleEveryNth ?? 0)
    values.skips_reclaimable = configuration.recordsReclaimable || !surroundings.cacheNames.isEmpty ? 0 : 1
    values.emits_events = configuration.emitsEvents ? 1 : 0
    values.interrupt_range_count = copy(surroundings.interrupts, to: &values.interrupts)
    values.call_site_range_count = copy(surroundings.callSites, to: &values.call_sites)
    setArguments(&values)
    return values
  }

  /// Copies as many ranges as there is room for, and returns how many these are.
  private static func copy<Storage>(_ ranges: [Range<UInt64>], to storage: inout Storage) -> UInt32 {
    let ranges = ranges.prefix(Int(LT_KERNEL_MAX_RANGES))
    withUnsafeMutableBytes(of: &storage) { bytes in
      let words = bytes.bindMemory(to: lt_kernel_range.self)
      for (index, range) in ranges.enumerated() {
        words[index] = lt_kernel_range(start: range.lowerBound, end: range.upperBound)
      }
    }
    return UInt32(ranges.count)
  }

  /// Finds out which arguments tracepoints have, by the kernel's own type information.
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
