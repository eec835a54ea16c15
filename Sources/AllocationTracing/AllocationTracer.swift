import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import TraceModel

/// One trace of user-space allocations: owns the programs, the probes of every process, and what they recorded.
///
/// Not safe for use from several threads. Releasing it takes every probe off.
package final class AllocationTracer {
  package let configuration: TraceConfiguration
  let programs: ProbePrograms
  package let tables: TraceTables
  private let ring: RingBuffer
  /// What the stack walker needs of each process; nil when stacks are walked by frame pointers.
  package let unwindTables: UnwindTables?
  private let unwindRequests: RingBuffer?
  private var lastRearm: UInt64 = 0
  private var lifecycleLinks: [Link] = []

  /// Every process of the trace in order of appearance, ended ones included.
  package private(set) var processes: [TracedProcess] = []
  private var processOfSlot: [UInt32: TracedProcess] = [:]
  private var running: [Int32: TracedProcess] = [:]
  private var nextSlot: UInt32 = 0

  /// Every probed place by its index, which the programs know it by.
  package private(set) var probes: [AllocatorProbe] = []
  private var probeKinds: [Report.Probe.Kind] = []
  private var probeIndex: [ProbeKey: UInt32] = [:]
  private var objects: [ObjectIdentity: OpenObject] = [:]

  /// Sentences for the report.
  package private(set) var notes: [String] = []
  /// Called for every allocation and free when `configuration.emitsEvents` is set.
  package var onEvent: ((AllocationEvent) -> Void)?
  /// Names the frames of a stack of a process.
  package var symbolize: (StackTrace, TracedProcess) -> [Frame] = { stack, _ in
    stack.addresses.map { Frame(address: $0) }
  }
  /// Called when the address space of a process was read anew.
  package var onMappings: ((TracedProcess) -> Void)?
  /// Totals of images that exec replaced.
  var replacedImages: [Report.ProcessTotals] = []
  /// Outstanding bytes of each site at the last report, for sorting by growth.
  var previousOutstanding: [SiteKey: UInt64] = [:]

  private let reader: ProcessReader
  private let files = ElfFileCache()
  /// CLOCK_MONOTONIC nanoseconds of the first attach.
  package private(set) var startTime: UInt64 = 0
  /// The same moment on the wall clock.
  package private(set) var startInUnixSeconds = 0.0

  private struct ProbeKey: Hashable {
    var device: UInt64
    var inode: UInt64
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
    if configuration.usesFramePointers {
      unwindTables = nil
      unwindRequests = nil
    } else {
      unwindTables = try UnwindTables(object: programs.object)
      unwindRequests = try RingBuffer(map: programs.object.map("lt_unwind_requests"))
    }
    lifecycleLinks.append(try tracepoint("on_exit", "sched_process_exit"))
    lifecycleLinks.append(try tracepoint("on_exec", "sched_process_exec"))
    if configuration.followsForks {
      lifecycleLinks.append(try tracepoint("on_fork", "sched_process_fork"))
    }
    if configuration.tracesMappings || unwindTables != nil {
      lifecycleLinks.append(try tracepoint("on_syscall_exit", "sys_exit"))
      lifecycleLinks.append(try tracepoint("on_syscall_enter", "sys_enter"))
    }
  }

  private func tracepoint(_ program: String, _ name: String) throws(BPFError) -> Link {
    try Link.rawTracepoint(programs.lifecycle.program(program), name: name)
  }

  /// Each readable when there is something for `handleEvents`.
  package var pollDescriptors: [Int32] {
    [ring.pollDescriptor] + (unwindRequests.map { [$0.pollDescriptor] } ?? [])
  }

  /// Whether any process that the user named still runs.
  package var hasRunningTargets: Bool { processes.contains { $0.isTarget && $0.state == .running } }

  package func runningProcess(_ processID: Int32) -> TracedProcess? { running[processID] }
  func process(slot: UInt32) -> TracedProcess? { processOfSlot[slot] }

  // MARK: Attaching

  /// Starts to trace a process. Throws when it cannot be read or nothing in it can be probed.
  @discardableResult
  package func attach(processID: Int32) throws -> TracedProcess {
    try reader.check(processID)
    let process = try enter(processID: processID, parent: nil)
    do {
      let plan = try refresh(process)
      if process.probes.isEmpty {
        throw TraceError(
          "process \(processID) (\(process.command)): \(plan?.failure ?? "no allocator found")")
      }
    } catch {
      abandon(process)
      throw error
    }
    noteStart()
    return process
  }

  /// Starts to trace a program that is stopped before its first instruction: its libraries are still to come.
  package func attach(stopped processID: Int32) throws -> TracedProcess {
    let process = try enter(processID: processID, parent: nil)
    _ = try refresh(process)
    noteStart()
    return process
  }

  /// Looks for allocators in what the process has mapped since the last look.
  package func update(_ process: TracedProcess) throws { try refresh(process) }

  private func noteStart() {
    guard startTime == 0 else { return }
    startTime = monotonicNanoseconds()
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    startInUnixSeconds = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }

  private func enter(processID: Int32, parent: TracedProcess?) throws -> TracedProcess {
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
    try tables.enter(processID: processID, slot: slot, generation: generation)
    processOfSlot[slot] = process
    running[processID] = process
    processes.append(process)
    return process
  }

  /// The next slot that no running process has; one of an ended process only when all are taken.
  private func takeSlot() -> UInt32? {
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

  private func abandon(_ process: TracedProcess) {
    process.links = []
    unwindTables?.release(slot: process.slot)
    tables.leave(processID: process.processID)
    running[process.processID] = nil
    processOfSlot[process.slot] = nil
    processes.removeAll { $0 === process }
  }

  /// Looks at the objects that the process has mapped since the last look and probes the allocators in them.
  @discardableResult
  private func refresh(_ process: TracedProcess) throws -> AllocatorPlan? {
    let mappings = try reader.mappings(of: process.processID)
    take(mappings, of: process)
    var plan: AllocatorPlan?
    let executable = mappings.filter { $0.isFileBacked && $0.permissions.contains(.execute) }
    // All are inserted: which functions are wrappers depends on every object of the process.
    let fresh = executable.filter { process.examinedObjects.insert(ObjectIdentity($0)).inserted }
    if !fresh.isEmpty {
      let made = reader.plan(process.processID, mappings: mappings, files: files)
      for note in made.notes where !notes.contains(note) { notes.append(note) }
      // After an exec the same objects are met again, and their probes are still on.
      let attached = Set(process.probes)
      try attach(made.probes.map(index(of:)).filter { !attached.contains($0) }, to: process)
      plan = made
    }
    return plan
  }

  /// Makes the mappings known to everyone who names or walks stacks of the process: before its first probe is on.
  private func take(_ mappings: [Mapping], of process: TracedProcess) {
    process.mappings = mappings
    do {
      try unwindTables?.update(
        slot: process.slot, generation: process.generation, processID: process.processID,
        mappings: mappings)
    } catch {
      let note = "stacks of process \(process.processID) may be cut short: \(error)"
      if !notes.contains(note) { notes.append(note) }
    }
    onMappings?(process)
  }

  /// Answers the stack walker's questions about code that it did not know.
  private func answerUnwindRequests() {
    guard let unwindTables, let unwindRequests else { return }
    var asked: [UInt32: TracedProcess] = [:]
    unwindRequests.consume { record in
      guard record.count >= MemoryLayout<lt_unwind_request>.size else { return }
      let request = record.loadUnaligned(as: lt_unwind_request.self)
      if let process = processOfSlot[request.process_slot], process.state == .running {
        asked[request.process_slot] = process
      }
    }
    for process in asked.values {
      let changed = try? unwindTables.refresh(
        slot: process.slot, generation: process.generation, processID: process.processID)
      if changed == true, let mappings = try? reader.mappings(of: process.processID) {
        process.mappings = mappings
        onMappings?(process)
      }
    }
    let now = monotonicNanoseconds()
    if now - lastRearm > 1_000_000_000 {
      lastRearm = now
      unwindTables.rearmRequests()
    }
  }

  private func index(of probe: AllocatorProbe) -> UInt32 {
    let key = ProbeKey(
      device: probe.object.device, inode: probe.object.inode, fileOffset: probe.fileOffset)
    if let known = probeIndex[key] { return known }
    let index = UInt32(probes.count)
    probes.append(probe)
    probeKinds.append(.perf)
    probeIndex[key] = index
    return index
  }

  /// Which program a place gets.
  private enum Role { case free, allocation, returnInstruction }

  /// Attaches places in one process: what frees before what allocates, so that no recorded block's free is missed,
  /// and what sees a return before what expects it.
  private func attach(_ indices: [UInt32], to process: TracedProcess) throws {
    guard probes.count <= Int(LT_MAX_PROBES) else {
      throw TraceError("more than \(LT_MAX_PROBES) allocator functions cannot be probed at once")
    }
    var links: [Link] = []
    for role in [Role.free, .returnInstruction, .allocation] {
      var placesByObject: [ObjectIdentity: [Link.Place]] = [:]
      for index in indices {
        let probe = probes[Int(index)]
        let identity = ObjectIdentity(device: probe.object.device, inode: probe.object.inode)
        let cookie = probe.attachCookie(probeIndex: Int(index), processSlot: Int(process.slot))
        let offsets = fileOffsets(of: probe, role: role)
        if offsets.isEmpty { continue }
        probeKinds[Int(index)] = kind(role)
        objects[identity] = try objects[identity] ?? OpenObject(probe.object)
        placesByObject[identity, default: []] += offsets.map {
          Link.Place(fileOffset: $0, cookie: cookie)
        }
      }
      for (identity, places) in placesByObject {
        guard let object = objects[identity] else { continue }
        object.readIntoPageCache(places.map(\.fileOffset))
        do {
          links += try link(places, role: role, path: object.path, processID: process.processID)
        } catch {
          if error.code == ESRCH {
            throw TraceError("process \(process.processID) ended while it was being attached")
          }
          throw error
        }
      }
    }
    // Taken off in the opposite order.
    process.links = links.reversed() + process.links
    process.probes += indices
  }

  /// Where in the probe's file the places of one role are.
  private func fileOffsets(of probe: AllocatorProbe, role: Role) -> [UInt64] {
    switch role {
    case .free: return probe.function.isFree ? [probe.fileOffset + siteOffset(probe)] : []
    case .allocation: return probe.function.isFree ? [] : [probe.fileOffset + siteOffset(probe)]
    case .returnInstruction:
      guard case .returnInstructions(let offsets) = probe.returns else { return [] }
      return offsets
    }
  }

  private func siteOffset(_ probe: AllocatorProbe) -> UInt64 {
    configuration.probesFunctionEntries ? 0 : probe.site.offset
  }

  private func kind(_ role: Role) -> Report.Probe.Kind {
    switch programs.method {
    case .session: role == .allocation ? .multiSession : .multi
    case .perf: .perf
    }
  }

  private func link(
    _ places: [Link.Place], role: Role, path: String, processID: Int32
  ) throws(BPFError) -> [Link] {
    let program =
      switch role {
      case .free: "free_enter"
      case .returnInstruction: "allocate_return_site"
      case .allocation: programs.method == .session ? "allocate_session" : "allocate_enter"
      }
    switch programs.method {
    case .session:
      return [
        try Link.uprobes(
          programs.object.program(program), kind: role == .allocation ? .session : .entry,
          path: path, places: places, processID: processID)
      ]
    case .perf:
      var links: [Link] = []
      // The return first: an entry without it would leave its thread marked as inside the call.
      if role == .allocation {
        let exit = try programs.object.program("allocate_exit")
        for place in places where place.cookie & Self.returnsBySite == 0 {
          links.append(
            try Link.perfUprobe(
              exit, isReturn: true, path: path, place: place, processID: processID))
        }
      }
      let entry = try programs.object.program(program)
      for place in places {
        links.append(
          try Link.perfUprobe(
            entry, isReturn: false, path: path, place: place, processID: processID))
      }
      return links
    }
  }

  private static let returnsBySite =
    UInt64(LT_COOKIE_RETURNS_BY_SITE) << UInt64(LT_COOKIE_FLAGS_SHIFT)

  // MARK: Events

  /// Handles every event that waits. Returns whether the set of processes changed.
  package func handleEvents() {
    var toRefresh: [ObjectIdentifier: TracedProcess] = [:]
    ring.consume { record in
      guard record.count >= MemoryLayout<lt_event>.size else { return }
      let event = record.loadUnaligned(as: lt_event.self)
      switch event.kind {
      case UInt32(LT_EVENT_ALLOCATED.rawValue), UInt32(LT_EVENT_FREED.rawValue):
        onEvent?(allocationEvent(event))
      case UInt32(LT_EVENT_FORK.rawValue):
        follow(child: Int32(truncatingIfNeeded: event.address), parentSlot: event.process_slot)
      case UInt32(LT_EVENT_EXEC.rawValue):
        if let process = running[Int32(event.process_id)] {
          replaceImage(of: process, generation: UInt32(truncatingIfNeeded: event.address))
          toRefresh[ObjectIdentifier(process)] = process
        }
      case UInt32(LT_EVENT_EXIT.rawValue):
        if let process = running[Int32(event.process_id)] { end(process) }
      default:
        guard let process = processOfSlot[event.process_slot],
          process.processID == Int32(event.process_id)
        else { return }
        if apply(event, to: process) { toRefresh[ObjectIdentifier(process)] = process }
      }
    }
    for process in toRefresh.values where process.state == .running {
      do { try refresh(process) } catch let error as TraceError {
        notes.append(error.description)
      } catch {
        // It ended meanwhile: its exit event follows.
      }
    }
    answerUnwindRequests()
    for process in running.values where !process.knowsTrampoline { findTrampoline(of: process) }
  }

  private func allocationEvent(_ event: lt_event) -> AllocationEvent {
    AllocationEvent(
      isFree: event.kind == UInt32(LT_EVENT_FREED.rawValue), processID: Int32(event.process_id),
      threadID: Int32(event.thread_id), time: event.time, address: event.address,
      sizeInBytes: event.size,
      function: Int(event.probe) < probes.count ? probes[Int(event.probe)].function.name : "?")
  }

  /// Applies a change of the address space. Returns whether new code may have come with it.
  private func apply(_ event: lt_event, to process: TracedProcess) -> Bool {
    var site = event.site == UInt32.max ? nil : event.site
    if let known = site, isAllocatorsOwn(site: known, of: process) { site = nil }
    switch event.kind {
    case UInt32(LT_EVENT_MAP.rawValue):
      process.ledger.map(start: event.address, size: event.size, site: site, time: event.time)
      return event.flags >> 32 & UInt64(PROT_EXEC) != 0
    case UInt32(LT_EVENT_UNMAP.rawValue):
      process.ledger.unmap(start: event.address, size: event.size, thread: event.thread_id)
    case UInt32(LT_EVENT_UNMAP_FAILED.rawValue):
      process.ledger.unmapFailed(start: event.address, size: event.size, thread: event.thread_id)
    case UInt32(LT_EVENT_REMAP.rawValue):
      process.ledger.remap(
        oldStart: event.other_address, oldSize: event.other_size, newStart: event.address,
        newSize: event.size, site: site, time: event.time)
    case UInt32(LT_EVENT_BREAK.rawValue):
      let previous = process.programBreak
      process.programBreak = event.address
      if previous != 0, event.address > previous {
        process.ledger.map(
          start: previous, size: event.address - previous, site: site, time: event.time)
      } else if event.address < previous {
        process.ledger.unmap(
          start: event.address, size: previous - event.address, thread: event.thread_id)
      }
    default: break
    }
    return false
  }

  private func follow(child: Int32, parentSlot: UInt32) {
    guard let parent = processOfSlot[parentSlot], running[child] == nil else { return }
    do {
      let process = try enter(processID: child, parent: parent)
      process.examinedObjects = parent.examinedObjects
      process.programBreak = parent.programBreak
      take((try? reader.mappings(of: child)) ?? parent.mappings, of: process)
      do { try attach(parent.probes, to: process) } catch {
        abandon(process)
        throw error
      }
    } catch {
      notes.append("process \(child), child of \(parent.processID), was not followed: \(error)")
    }
  }

  private func replaceImage(of process: TracedProcess, generation: UInt32) {
    recordReplacedImage(of: process)
    tables.removeSites(slot: process.slot, olderThan: generation)
    tables.removeBlocks(slot: process.slot, keepingGeneration: generation)
    process.generation = generation
    process.ledger = MappingLedger()
    process.ownershipOfSite = [:]
    process.programBreak = 0
    process.knowsTrampoline = false
    process.examinedObjects = []
    let info = reader.describe(process.processID)
    process.command = info.command
    process.executable = info.executable
  }

  private func end(_ process: TracedProcess) {
    process.state = .exited
    process.links = []
    unwindTables?.release(slot: process.slot)
    running[process.processID] = nil
    tables.leave(processID: process.processID)
  }

  /// Gives back everything that the kernel tables hold of an ended process.
  private func forget(_ process: TracedProcess) {
    tables.removeSites(slot: process.slot, olderThan: UInt32.max)
    tables.removeBlocks(slot: process.slot, keepingGeneration: nil)
    processOfSlot[process.slot] = nil
    processes.removeAll { $0 === process }
  }

  private func findTrampoline(of process: TracedProcess) {
    guard let mappings = try? reader.mappings(of: process.processID),
      let area = mappings.first(where: { $0.path == "[uprobes]" })
    else { return }
    tables.setTrampoline(area.start, slot: process.slot)
    process.knowsTrampoline = true
  }

  // MARK: Probes for the report

  package func reportProbes() -> [Report.Probe] {
    probes.enumerated().map { index, probe in
      Report.Probe(
        function: probe.function.name, object: probe.object.path, offset: siteOffset(probe),
        instruction: probe.site.instruction,
        isEmulated: probe.site.isEmulated && !configuration.probesFunctionEntries,
        kind: probeKinds[index], hits: tables.hits(ofProbe: UInt32(index)))
    }
  }

  /// Takes every probe off; what was recorded stays readable.
  package func stop() {
    for process in processes { process.links = [] }
    lifecycleLinks = []
  }
}

/// CLOCK_MONOTONIC, the clock of the programs.
package func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
