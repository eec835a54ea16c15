import Accounting
import BPFRuntime
import CTraceABI
import Glibc
import GrowthStatistics
import LeakAnalysis
import ProcessImage
import SystemSupport
import TraceModel

/// One trace of user-space allocations: owns the programs, the probes of every process, and what they recorded.
///
/// Not safe for use from several threads. Releasing it takes every probe off.
package final class AllocationTracer {
  package let configuration: TraceConfiguration
  let programs: ProbePrograms
  package let tables: TraceTables
  let ring: RingBuffer
  /// What the stack walker needs of each process; nil when stacks are walked by frame pointers.
  package let unwindTables: UnwindTables?
  let unwindRequests: RingBuffer?
  let unwindSamples: RingBuffer?
  let epochs: MappingEpochs
  /// What to add to the walker's counters for stacks that were completed afterwards; by counter.
  var walkCorrections = [Int64](repeating: 0, count: Int(LT_UNWIND_COUNTER_COUNT.rawValue))
  /// Copies of stacks of programs that have been executed unheard of.
  var deferredSamples: [[UInt8]] = []
  /// Stacks that broke off in the kernel and were completed here.
  package internal(set) var completedStacks: UInt64 = 0
  let pendingChildren: BPFMap?
  /// When events were last handled, and how many nanoseconds a report may let them wait.
  var lastEvents: UInt64 = 0
  static let longestPause: UInt64 = 10_000_000
  var attachPriority = AttachPriority()
  var lastRefill: UInt64 = 0
  /// Children that ran before their probes were on because nothing could hold them.
  var unheldChildren: UInt64 = 0
  var lifecycleLinks: [Link] = []

  /// Every process of the trace in order of appearance, ended ones included.
  package internal(set) var processes: [TracedProcess] = []
  var processOfSlot: [UInt32: TracedProcess] = [:]
  var running: [Int32: TracedProcess] = [:]
  var nextSlot: UInt32 = 0
  private var lastImageNumber: UInt32 = 0

  /// Every probed place by its index, which the programs know it by.
  package internal(set) var probes: [AllocatorProbe] = []
  var probeKinds: [Report.Probe.Kind] = []
  var probeIndex: [ProbeKey: UInt32] = [:]
  var objects: [FileIdentity: OpenObject] = [:]
  /// Where processes wait for us in C libraries and loaders, by object; one link each for all processes.
  var holdLinks: [FileIdentity: [Link]] = [:]

  /// Sentences for the report.
  package internal(set) var notes: [String] = []
  /// Called for every allocation and free when `configuration.emitsEvents` is set.
  package var onEvent: ((AllocationEvent) -> Void)?
  /// Names the frames of a stack.
  package var symbolize: (StackTrace, RecordedCode) -> [Frame] = { stack, _ in
    stack.addresses.map { Frame(address: $0) }
  }
  /// Tells for each frame of a stack what code it was in; the same stack can mean different things in different epochs.
  package var codeIdentities: (StackTrace, RecordedCode) -> [Int?] = { _, code in [Int(code.epoch)] }
  /// Called when a child is followed, before it runs, and when a process has started another program.
  package var onNewImage: ((TracedProcess) -> Void)?
  /// Called when the `mappingState` of a process has changed.
  package var onMappings: ((TracedProcess) -> Void)?
  /// Totals of images that exec replaced.
  var replacedImages: [Report.ProcessTotals] = []
  var reclamation = SiteReclamation<lt_site>(interval: 200_000_000, synchronizes: true)
  /// Outstanding bytes of each site at the last report, for sorting by growth.
  var previousOutstanding: [SiteKey: UInt64] = [:]
  /// What each site held through the run; heap sites by the kernel's index, mappings behind them.
  var history: OutstandingHistory?
  /// What was outstanding, at moments at least `momentDistance` nanoseconds apart.
  var timeline: [Report.Moment] = []
  var momentDistance: UInt64 = 0

  let reader: ProcessReader
  let files = ElfFileCache()
  /// CLOCK_MONOTONIC nanoseconds of the first attach.
  package internal(set) var startTime: UInt64 = 0
  /// The same moment on the wall clock.
  package internal(set) var startInUnixSeconds = 0.0

  struct ProbeKey: Hashable {
    var file: FileIdentity
    var fileOffset: UInt64
  }

  package init(configuration: TraceConfiguration, discovery: AllocatorDiscovery.Options) throws(BPFError) {
    self.configuration = configuration
    reader = ProcessReader(options: discovery)
    programs = try ProbePrograms.load(configuration)
    let sizes = ProbePrograms.sizes(for: configuration)
    tables = try TraceTables(
      object: programs.object, bucketCount: Int(sizes.buckets), siteCount: Int(sizes.sites))
    ring = try RingBuffer(map: programs.object.map("events"))
    epochs = try MappingEpochs(object: programs.object)
    if programs.framePointerReason != nil {
      unwindTables = nil
      unwindRequests = nil
      unwindSamples = nil
    } else {
      unwindTables = try UnwindTables(
        object: programs.object,
        limits: UnwindTables.Limits(
          tableBytes: configuration.maximumUnwindTableBytes, tableBytesPerFile: 16 << 20))
      unwindRequests = try RingBuffer(map: programs.object.map("lt_unwind_requests"))
      unwindSamples = try RingBuffer(map: programs.object.map("lt_unwind_samples"))
    }
    tables.refillHoldBudget(by: 10_000_000_000, upTo: 10_000_000_000)
    pendingChildren = try programs.lifecycle.map("pending_children")
    lifecycleLinks.append(try tracepoint("on_exit", "sched_process_exit"))
    lifecycleLinks.append(try tracepoint("on_exec", "sched_process_exec"))
    if configuration.followsForks {
      lifecycleLinks.append(try tracepoint("on_fork", "sched_process_fork"))
    }
  }

  func tracepoint(_ program: String, _ name: String) throws(BPFError) -> Link {
    try Link.rawTracepoint(programs.lifecycle.program(program), name: name)
  }

  /// Each readable when there is something for `handleEvents`.
  package var pollDescriptors: [Int32] {
    ([ring] + [unwindRequests, unwindSamples].compactMap { $0 }).map(\.pollDescriptor)
  }

  /// Whether any process that the user named still runs.
  package var hasRunningTargets: Bool { processes.contains { $0.isTarget && $0.state == .running } }

  /// Whether a running process belongs to the trace.
  package func isTracing(_ processID: Int32) -> Bool { running[processID] != nil }

  func process(slot: UInt32) -> TracedProcess? { processOfSlot[slot] }

  // MARK: Attaching

  /// Starts to trace a process. Throws when it cannot be read or nothing in it can be probed.
  @discardableResult
  package func attach(processID: Int32) throws -> TracedProcess {
    try reader.check(processID)
    let process = try enter(processID: processID, parent: nil)
    do {
      try refresh(process)
      try requireAllocator(process)
    } catch {
      abandon(process)
      // Whatever it failed at then, that is why.
      if reader.isGone(processID) {
        throw TraceError("process \(processID) (\(process.command)) ended while it was being attached")
      }
      throw error
    }
    // Where the break was before the first call that moves it; the kernel tells it in whole pages.
    process.programBreak = process.mappings.first { $0.path == "[heap]" }?.end ?? 0
    noteInitialHeap(of: process)
    noteStart()
    return process
  }

  /// Starts to trace a program that is stopped before its first instruction: its libraries are still to come.
  package func attach(stopped processID: Int32) throws -> TracedProcess {
    let process = try enter(processID: processID, parent: nil)
    process.isTracedFromStart = true
    process.initialHeapBytes = 0
    process.hasOnlyTracedBlocks = true
    tables.setHeld(true, slot: process.slot)
    try refresh(process)
    noteStart()
    return process
  }

  /// The program that was stopped runs on its own from here. Throws when nothing in it can be probed.
  package func release(_ process: TracedProcess) throws(TraceError) {
    try requireAllocator(process)
    tables.setHeld(false, slot: process.slot)
  }

  private func requireAllocator(_ process: TracedProcess) throws(TraceError) {
    if process.hasAllocator { return }
    throw TraceError(
      "process \(process.processID) (\(process.command)): \(process.failure ?? "no allocator found")")
  }

  /// Looks for allocators in what the process has mapped since the last look.
  package func update(_ process: TracedProcess) throws { try refresh(process) }

  func noteStart() {
    guard startTime == 0 else { return }
    startTime = monotonicNanoseconds()
    startInUnixSeconds = unixSeconds()
  }

  func enter(processID: Int32, parent: TracedProcess?) throws -> TracedProcess {
    guard let slot = takeSlot() else {
      throw TraceError("more than \(LT_MAX_PROCESS_SLOTS) processes at once cannot be traced")
    }
    let info = reader.describe(processID)
    // A reused slot's new owner must not be taken for the old one.
    let generation = tables.process(slot: slot).generation &+ 1
    let process = TracedProcess(
      processID: processID, slot: slot, generation: generation,
      parentProcessID: parent?.processID, isTarget: parent == nil, command: info.command,
      executable: info.executable)
    process.controlGroup = try? ControlGroupPath.read(processID: processID)
    number(process)
    try tables.enter(processID: processID, slot: slot, generation: generation)
    processOfSlot[slot] = process
    running[processID] = process
    processes.append(process)
    return process
  }

  /// Tells the process's image from all others.
  func number(_ process: TracedProcess) {
    lastImageNumber += 1
    process.imageNumber = lastImageNumber
  }

  /// The next slot that no running process has; one of an ended process only when all are taken.
  func takeSlot() -> UInt32? {
    for _ in 0..<UInt32(LT_MAX_PROCESS_SLOTS) {
      let slot = nextSlot
      nextSlot = (nextSlot + 1) % UInt32(LT_MAX_PROCESS_SLOTS)
      guard let owner = processOfSlot[slot] else { return slot }
      if owner.state == .exited {
        forget(owner)
        return slot
      }
    }
    return nil
  }

  func abandon(_ process: TracedProcess) {
    process.links = []
    unwindTables?.release(slot: process.slot)
    tables.leave(processID: process.processID)
    running[process.processID] = nil
    processOfSlot[process.slot] = nil
    processes.removeAll { $0 === process }
  }

  /// Looks at the objects that the process has mapped since the last look and probes what is of interest in them.
  func refresh(_ process: TracedProcess) throws {
    try readMappings(of: process)
    let mappings = process.mappings
    let executable = mappings.filter { $0.isFileBacked && $0.permissions.contains(.execute) }
    let fresh = executable.filter { process.examinedObjects.insert($0.file).inserted }
    if fresh.isEmpty { return }
    var probes: [AllocatorProbe] = []
    for mapping in fresh {
      guard let file = files.file(behind: mapping, of: process.threadID) else { continue }
      let object = reader.describe(mapping, file, of: process.threadID)
      let calls = SystemCallProbes(
        file: file, object: object, readsFullSymbolTable: mapping.path == process.executable)
      try hold(at: calls, in: object, of: process)
      if configuration.tracesMappings { probes += calls.mappings }
    }
    // Planned anew as a whole: which functions are wrappers depends on every object of the process.
    let plan = reader.plan(process.threadID, mappings: mappings, files: files)
    for note in plan.notes where !notes.contains(note) { notes.append(note) }
    // Where nothing allocates, mappings alone are not worth a trace.
    if !plan.probes.isEmpty || !process.probes.isEmpty { probes += plan.probes }
    // After an exec the same objects are met again, and their probes are still on.
    let attached = Set(process.probes)
    try attach(probes.map(index(of:)).filter { !attached.contains($0) }, to: process)
    process.failure = plan.failure
  }

  /// Reads the mappings of a process and makes them known to everyone who names or walks its stacks: before its first probe
  /// is on, and whenever they have changed.
  func readMappings(of process: TracedProcess, askedFor address: UInt64 = 0) throws(TraceError) {
    var snapshot = AddressSpaceSnapshot()
    if let unwindTables {
      do {
        let found = try unwindTables.refresh(
          slot: process.slot, generation: process.generation, processID: process.processID,
          address: address)
        process.mappings = found.mappings
        process.threadID = found.threadID
        snapshot = found.snapshot
      } catch {
        let note = "stacks of process \(process.processID) may be cut short: \(error)"
        if !notes.contains(note) { notes.append(note) }
      }
      if process.mappings.isEmpty { process.mappings = try reader.mappings(of: process.processID) }
    } else {
      process.threadID = ProcessInfo.readableThread(of: process.processID)
      process.mappings = try reader.mappings(of: process.threadID)
      snapshot = AddressSpaceSnapshot(mappings: process.mappings)
      if !snapshot.keepsCode(of: process.mappingState.snapshot) { epochs.raise(process.slot) }
    }
    if !process.probes.isEmpty { noteCode(of: process) }
    let state = TracedProcess.MappingState(
      snapshot: snapshot, imageNumber: process.imageNumber, epoch: epochs[process.slot])
    if state == process.mappingState { return }
    process.mappingState = state
    onMappings?(process)
  }

  /// Takes every probe off; what was recorded stays readable.
  package func stop() {
    for process in processes { process.links = [] }
    lifecycleLinks = []
    holdLinks = [:]
    Link.finishDetaching()
  }
}
