import Accounting
import BPFRuntime
import CTraceABI
import Gate
import ProcessImage
import SystemSupport
import TraceModel

/// One trace of user-space allocations. It ties together the programs, the processes, what is attached to them, the events
/// that come from them, and the reports.
///
/// Not safe for use from several threads. Releasing it takes every probe off.
package final class AllocationTracer {
  package let configuration: TraceConfiguration
  let programs: ProbePrograms
  let tables: TraceTables
  let reader: ProcessReader
  let naming: any StackNaming
  let traceNotes = TraceNotes()
  let processTable: ProcessTable
  let spaces: AddressSpaces
  let attacher: ProbeAttacher
  let completion: StackCompletion
  let pump: EventPump
  let children: PendingChildren
  private var lifecycleLinks: [Link] = []
  var reclamation = SiteReclamation<lt_site>(interval: 200_000_000, synchronizes: true)
  var thinning: TableThinning
  /// nil before the first attach.
  var growth: GrowthRecorder?
  /// Outstanding bytes of each site at the last report, for sorting by growth.
  var previousOutstanding: [SiteKey: UInt64] = [:]
  /// When growth that nothing accounts for is looked at next, CLOCK_MONOTONIC nanoseconds, and whether that is being done.
  var nextUnexplainedLook: UInt64 = 0
  var isLookingAtGrowth = false
  /// CLOCK_MONOTONIC nanoseconds of the first attach; 0 before it.
  package private(set) var startTime: UInt64 = 0
  /// The same moment on the wall clock.
  package private(set) var startInUnixSeconds = 0.0

  /// Called for every allocation and free when `configuration.emitsEvents` is set.
  package var onEvent: ((AllocationEvent) -> Void)?
  /// Called when a child is followed, before it runs, and when a process has begun to run another program.
  package var onNewImage: ((TracedProcess) -> Void)?

  /// Loads the programs. Nothing is attached yet.
  ///
  /// - Parameter naming: names the stacks of reports.
  package init(
    configuration: TraceConfiguration, discovery: AllocatorDiscovery.Options,
    naming: any StackNaming = UnnamedStacks()
  ) throws(BPFError) {
    self.configuration = configuration
    self.naming = naming
    thinning = TableThinning(capacity: configuration.maximumAllocations)
    reader = ProcessReader(options: discovery)
    programs = try ProbePrograms.load(configuration)
    let sizes = ProbePrograms.sizes(for: configuration)
    tables = try TraceTables(
      object: programs.object, bucketCount: Int(sizes.buckets), siteCount: Int(sizes.sites),
      sampling: SamplingLevels(configuration))
    processTable = ProcessTable(tables: tables, limit: configuration.maximumProcesses)
    pump = try EventPump(object: programs.object, tables: tables)
    var unwindTables: UnwindTables?
    if programs.framePointerReason == nil {
      unwindTables = try UnwindTables(
        object: programs.object,
        limits: UnwindTables.Limits(
          tableBytes: configuration.maximumUnwindTableBytes, tableBytesPerFile: 16 << 20))
    }
    spaces = try AddressSpaces(
      object: programs.object, unwindTables: unwindTables, reader: reader, naming: naming, notes: traceNotes)
    attacher = ProbeAttacher(
      configuration: configuration, programs: programs, tables: tables, spaces: spaces, reader: reader,
      notes: traceNotes)
    completion = try StackCompletion(
      object: programs.object, tables: tables, processes: processTable, spaces: spaces)
    children = PendingChildren(map: try programs.lifecycle.map("pending_processes"))
    try attachLifecycle()
  }

  private func attachLifecycle() throws(BPFError) {
    var places: [(program: String, tracepoint: String?)] = [("on_exit", "sched_process_exit")]
    places.append(programs.holdsProcesses ? ("on_exec_holding", nil) : ("on_exec", "sched_process_exec"))
    if configuration.followsForks {
      places.append(programs.holdsProcesses ? ("on_fork_holding", nil) : ("on_fork", "sched_process_fork"))
    }
    for place in places {
      lifecycleLinks.append(try Link.rawTracepoint(programs.lifecycle.program(place.program), name: place.tracepoint))
    }
  }

  // MARK: What there is

  /// Every process of the trace in order of appearance, ended ones included.
  package var processes: [TracedProcess] { processTable.all }
  /// Every probed place. Its position is the index by which the programs know it.
  package var probes: [AllocatorProbe] { attacher.probes }
  /// Sentences for the report.
  package var notes: [String] { traceNotes.sentences + children.notes(limit: processTable.limit) }
  /// nil when stacks are walked by frame pointers.
  package var unwindTables: UnwindTables? { spaces.unwindTables }
  /// How many stacks broke off in the kernel and were completed here.
  package var completedStacks: UInt64 { completion.completedCount }
  /// Descriptors that become readable when `handleEvents` has something to do.
  package var pollDescriptors: [Int32] { [pump.pollDescriptor] + completion.pollDescriptors }
  /// Whether any process that the user named still runs.
  package var hasRunningTargets: Bool { processes.contains { $0.isTarget && $0.state == .running } }
  /// Whether a running process belongs to the trace.
  package func isTracing(_ processID: Int32) -> Bool { processTable.running(processID) != nil }
  /// Whether as many processes are traced as may be at a time.
  package var isFull: Bool { processTable.isFull }

  // MARK: Attaching

  /// Stops processes for gates, where the configuration asks for them; nil while none can be made.
  package var gateHost: (any GateHost)? {
    get { attacher.gates?.host }
    set { attacher.gates?.host = newValue }
  }

  /// Starts to trace a process. Throws when it cannot be read or nothing in it can be probed.
  @discardableResult
  package func attach(processID: Int32) throws -> TracedProcess {
    try reader.check(processID)
    let process = try enter(processID: processID) { generation, number in
      TracedImage(generation: generation, number: number, beginTime: monotonicNanoseconds())
    }
    do {
      try update(process)
      try requireAllocator(process)
    } catch {
      abandon(process)
      // If the process has ended, that is the reason, whatever it was that failed.
      if reader.isGone(processID) {
        throw Refusal("process \(processID) (\(process.command)) ended while it was being attached")
      }
      throw error
    }
    // Where the program break was before the first call that moves it. The kernel tells it only in whole pages.
    process.image.programBreak = process.mappings.first { $0.path == "[heap]" }?.end ?? 0
    noteInitialHeap(of: process)
    noteBaseline(of: process)
    noteStart()
    return process
  }

  /// Starts to trace a program that is stopped before its first instruction. Its libraries are not loaded yet.
  package func attach(stopped processID: Int32) throws -> TracedProcess {
    let process = try enter(processID: processID) { generation, number in
      .executed(generation: generation, number: number, beginTime: monotonicNanoseconds(), waitsForUs: true)
    }
    tables.setHeld(true, slot: process.slot)
    try update(process)
    noteStart()
    return process
  }

  /// Ends the time in which user space steps a program that was stopped: from here on it runs on its own. Throws when
  /// nothing in it can be probed.
  package func release(_ process: TracedProcess) throws(Refusal) {
    try requireAllocator(process)
    tables.setHeld(false, slot: process.slot)
  }

  private func requireAllocator(_ process: TracedProcess) throws(Refusal) {
    if let misspelling = attacher.misspelling(in: process) { throw Refusal(misspelling) }
    if process.hasAllocator { return }
    throw Refusal(
      "process \(process.processID) (\(process.command)): \(process.failure ?? "no allocator found")")
  }

  /// Looks for allocators in what the process has mapped since the last look, and probes them.
  ///
  /// - Parameter canStop: whether the process can be stopped for a gate: not while it is held and waits for an answer.
  package func update(_ process: TracedProcess, canStop: Bool = true) throws {
    try spaces.read(process)
    try attacher.attachToNewObjects(of: process, makesGates: canStop)
  }

  func enter(
    processID: Int32, parent: TracedProcess? = nil,
    makeImage: (_ generation: UInt32, _ number: UInt32) -> TracedImage
  ) throws -> TracedProcess {
    try processTable.enter(
      processID: processID, parent: parent, description: reader.describe(processID), makeImage: makeImage)
  }

  func abandon(_ process: TracedProcess) {
    attacher.gates?.close([process])
    spaces.release(process)
    processTable.abandon(process)
  }

  private func noteStart() {
    guard startTime == 0 else { return }
    startTime = monotonicNanoseconds()
    startInUnixSeconds = unixSeconds()
    growth = GrowthRecorder(start: startTime, siteCapacity: tables.sites.count)
  }

  /// Takes every probe off; what was recorded stays readable.
  package func stop() {
    attacher.gates?.close(processes)
    for process in processes {
      process.links = []
      process.gates = []
    }
    lifecycleLinks = []
    attacher.stop()
    Link.finishDetaching()
  }
}
