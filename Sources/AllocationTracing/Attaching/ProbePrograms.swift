import Accounting
import BPFRuntime
import CLibBPF
import CTraceABI
import CTraceObjects
import Glibc
import TraceModel

/// The loaded programs, and how they are attached: in the best way that this kernel accepts.
final class ProbePrograms {
  /// How allocator functions are probed.
  enum Method: String {
    /// One program sees entry and return, and can skip the return (Linux 6.13).
    case session
    /// Entry and return by perf events, one per place.
    case perf
  }

  let object: BPFObject
  let lifecycle: BPFObject
  let method: Method
  /// Whether programs can hold a forked child, or a process that runs another program, until it is attached to (Linux 6.18).
  let holdsProcesses: Bool
  /// Why stacks are walked by frame pointers; nil when they are walked by unwind tables.
  private(set) var framePointerReason: String?

  private init(object: BPFObject, lifecycle: BPFObject, method: Method, holdsProcesses: Bool) {
    self.object = object
    self.lifecycle = lifecycle
    self.method = method
    self.holdsProcesses = holdsProcesses
  }

  /// Attaches a program to single places of a file, in the best way that this kernel accepts.
  ///
  /// - Parameter processID: nil means every process.
  func attach(
    _ program: BPFProgram, to places: [Link.Place], path: String, processID: Int32?
  ) throws(BPFError) -> [Link] {
    switch method {
    case .session:
      return [try Link.uprobes(program, kind: .entry, path: path, places: places, processID: processID ?? 0)]
    case .perf:
      var links: [Link] = []
      for place in places {
        links.append(
          try Link.perfUprobe(program, isReturn: false, path: path, place: place, processID: processID ?? -1))
      }
      return links
    }
  }

  /// The program for a hook; nil where the kernel does not allow it.
  func program(for purpose: LibraryHook.Purpose) throws(BPFError) -> BPFProgram? {
    switch (purpose, method) {
    case (.loads, .session): return try lifecycle.program("hold_loader")
    case (.loads, .perf): return try lifecycle.program("loader_changed")
    case (.exceptions, _):
      if let exceptions { return try exceptions.program("exception_raised") }
      return method == .session ? try lifecycle.program("exception_held") : nil
    }
  }

  /// What puts return addresses back without asking us. Loaded when it is first needed, because it writes to the memory of
  /// processes: kernels in lockdown do not allow that, and older ones say in their log that it is there.
  private lazy var exceptions: BPFObject? = try? loadExceptions()

  private func loadExceptions() throws(BPFError) -> BPFObject {
    let image = ctrace_exceptions()
    let open = try OpenBPFObject(
      name: "exceptions", bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    for map in ["processes", "thread_states"] { try open.reuse(object.map(map), as: map) }
    if method == .session { try open.setAttachType(UInt32(CLIBBPF_TRACE_UPROBE_MULTI), program: "exception_raised") }
    return try open.load()
  }

  struct Sizes {
    var buckets: UInt32
    var sites: UInt32
  }

  static func sizes(for configuration: TraceConfiguration) -> Sizes {
    let blocks = configuration.maximumAllocations + configuration.allocationsInReserve
    let buckets = BlockTable.bucketCount(forBlocks: blocks)
    let sites = min(Int(LT_MAX_SITES) - 1, max(64, configuration.maximumSites * 2))
    return Sizes(buckets: UInt32(buckets), sites: UInt32(sites))
  }

  /// Loads the programs with the newest method first and falls back where the kernel refuses: first to older ways to attach,
  /// then to stacks without the walker, which have only those frames that frame pointers lead to.
  static func load(_ configuration: TraceConfiguration) throws(BPFError) -> ProbePrograms {
    var configuration = configuration
    var refusal: BPFError?
    if !configuration.usesFramePointers {
      do throws(BPFError) {
        try requireUnwinder(configuration)
        return try loadBestMethod(configuration)
      } catch { refusal = error }
    }
    configuration.usesFramePointers = true
    do throws(BPFError) {
      let programs = try loadBestMethod(configuration)
      programs.framePointerReason = refusal.map { "the kernel refuses the unwinder: \($0)" } ?? "as asked"
      return programs
    } catch { throw refusal ?? error }
  }

  private static func requireUnwinder(_ configuration: TraceConfiguration) throws(BPFError) {
    guard !configuration.refusesUnwinder, clibbpf_has_helper(UInt32(BPF_FUNC_loop.rawValue)) else {
      throw BPFError(operation: "use bpf_loop", code: EOPNOTSUPP)
    }
  }

  private static func loadBestMethod(
    _ configuration: TraceConfiguration
  ) throws(BPFError) -> ProbePrograms {
    if !configuration.avoidsMultiLinks {
      if let loaded = try? load(configuration, method: .session) { return loaded }
    }
    return try load(configuration, method: .perf)
  }

  private static func load(
    _ configuration: TraceConfiguration, method: Method
  ) throws(BPFError) -> ProbePrograms {
    let image = ctrace_user_allocations()
    let open = try OpenBPFObject(
      name: "user_allocations", bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    let sizes = sizes(for: configuration)
    let values = values(for: configuration, sizes: sizes)
    try open.setMaxEntries(sizes.buckets, ofMap: "blocks")
    try open.setMaxEntries(sizes.sites, ofMap: "sites")
    try open.setMaxEntries(UInt32(configuration.maximumSites), ofMap: "stacks")
    try open.setMaxEntries(UInt32(configuration.maximumSites), ofMap: "short_stacks")
    try open.configure(values)
    let isSession = method == .session
    try open.setLoaded(isSession, program: "allocate_session")
    for program in ["allocate_enter", "allocate_exit", "allocate_return_site", "mapping_site"] {
      try open.setLoaded(!isSession, program: program)
    }
    for program in ["gate_allocated", "gate_entered", "gate_freed"] {
      try open.setLoaded(configuration.usesGates, program: program)
      if isSession { try open.setAttachType(UInt32(CLIBBPF_TRACE_UPROBE_MULTI), program: program) }
    }
    if isSession {
      try open.setAttachType(
        UInt32(CLIBBPF_TRACE_UPROBE_SESSION), program: "allocate_session")
      try open.setAttachType(UInt32(CLIBBPF_TRACE_UPROBE_MULTI), program: "free_enter")
    }
    let object = try open.load()

    if isSession, let lifecycle = try? loadLifecycle(sharing: object, values, method: method, holdsProcesses: true) {
      return ProbePrograms(object: object, lifecycle: lifecycle, method: method, holdsProcesses: true)
    }
    let lifecycle = try loadLifecycle(sharing: object, values, method: method, holdsProcesses: false)
    return ProbePrograms(object: object, lifecycle: lifecycle, method: method, holdsProcesses: false)
  }

  private static func loadLifecycle(
    sharing object: BPFObject, _ values: lt_configuration, method: Method, holdsProcesses: Bool
  ) throws(BPFError) -> BPFObject {
    let lifecycleImage = ctrace_process_lifecycle()
    let openLifecycle = try OpenBPFObject(
      name: "process_lifecycle",
      bytes: UnsafeRawBufferPointer(start: lifecycleImage.bytes, count: lifecycleImage.size))
    for map in [
      "counters", "processes", "process_slots", "events", "thread_states", "globals",
      "lt_unwind_processes",
      "lt_unwind_counters",
    ] {
      try openLifecycle.reuse(object.map(map), as: map)
    }
    try openLifecycle.configure(values)
    for program in ["on_fork", "on_exec"] { try openLifecycle.setLoaded(!holdsProcesses, program: program) }
    for program in ["on_fork_holding", "on_exec_holding"] {
      try openLifecycle.setLoaded(holdsProcesses, program: program)
    }
    for program in ["hold_loader", "exception_held"] {
      try openLifecycle.setLoaded(method == .session, program: program)
      guard method == .session else { continue }
      try openLifecycle.setAttachType(UInt32(CLIBBPF_TRACE_UPROBE_MULTI), program: program)
      try openLifecycle.setSleepable(program: program)
    }
    try openLifecycle.setLoaded(method == .perf, program: "loader_changed")
    return try openLifecycle.load()
  }

  private static func values(
    for configuration: TraceConfiguration, sizes: Sizes
  ) -> lt_configuration {
    var values = lt_configuration()
    values.minimum_size = configuration.sizes.lowerBound
    values.maximum_size = configuration.sizes.upperBound
    values.sample_mean = configuration.sampleMeanInBytes ?? 0
    values.sample_every_nth = configuration.sampleEveryNth ?? 0
    values.block_buckets = sizes.buckets
    values.site_count = sizes.sites
    values.maximum_blocks = UInt32(configuration.maximumAllocations + configuration.allocationsInReserve)
    values.filling_blocks = configuration.refusesBeyondMaximum ? 0 : UInt32(configuration.maximumAllocations)
    values.emit_events = configuration.emitsEvents ? 1 : 0
    values.follow_forks = configuration.followsForks ? 1 : 0
    values.largest_safe_request =
      UInt64(sysconf(Int32(_SC_PHYS_PAGES))) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    values.sites_by_thread = configuration.separatesThreads ? 1 : 0
    values.watches_frees = configuration.watchesFrees ? 1 : 0
    values.tracer_process = UInt32(getpid())
    values.has_gates = configuration.usesGates && !configuration.usesFramePointers ? 1 : 0
    values.walk_with_tables = configuration.usesFramePointers ? 0 : 1
    values.fillSamplingTables()
    return values
  }
}
