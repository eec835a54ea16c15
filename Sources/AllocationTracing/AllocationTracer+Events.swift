import Accounting
import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Handles every event that waits.
  package func handleEvents() {
    refillHoldBudget()
    var toRefresh: [ObjectIdentifier: TracedProcess] = [:]
    var answers: [UInt32: UInt64] = [:]
    // What changes of mappings come from is asked of their stacks.
    completeSamples()
    ring.consume { record in
      guard record.count >= MemoryLayout<lt_event>.size else { return }
      let event = record.loadUnaligned(as: lt_event.self)
      switch event.kind {
      case UInt32(LT_EVENT_ALLOCATED.rawValue), UInt32(LT_EVENT_FREED.rawValue):
        onEvent?(allocationEvent(event))
      case UInt32(LT_EVENT_FORK.rawValue):
        attachPriority.raise()
        follow(child: Int32(truncatingIfNeeded: event.address), parentSlot: event.process_slot)
      case UInt32(LT_EVENT_EXEC.rawValue):
        if let process = running[Int32(event.process_id)] {
          completeSamples(lastOf: process)
          replaceImage(of: process, generation: UInt32(truncatingIfNeeded: event.address))
          toRefresh[ObjectIdentifier(process)] = process
        }
      case UInt32(LT_EVENT_EXIT.rawValue):
        if let process = running[Int32(event.process_id)] {
          completeSamples(lastOf: process)
          end(process)
        }
      case UInt32(LT_EVENT_THREAD.rawValue):
        if let process = running[Int32(event.process_id)] { nameThread(event, of: process) }
      case UInt32(LT_EVENT_LOADED.rawValue):
        if let process = running[Int32(event.process_id)] {
          name(process)  // just after an exec there were no arguments to read yet
          attachPriority.raise()
          toRefresh[ObjectIdentifier(process)] = process
          answers[process.slot] = max(answers[process.slot] ?? 0, event.address)
        }
      default:
        guard let process = processOfSlot[event.process_slot],
          process.processID == Int32(event.process_id)
        else { return }
        apply(event, to: process)
      }
    }
    for process in toRefresh.values where process.state == .running {
      do { try refresh(process) } catch let error as TraceError {
        notes.append(error.description)
      } catch {
        // It ended meanwhile: its exit event follows.
      }
    }
    for (slot, change) in answers { tables.answerLoader(change: change, slot: slot) }
    attachPriority.restore()
    answerUnwindRequests()
    reclaimSites()
    recordGrowth()
    lastEvents = monotonicNanoseconds()
  }

  func allocationEvent(_ event: lt_event) -> AllocationEvent {
    AllocationEvent(
      isFree: event.kind == UInt32(LT_EVENT_FREED.rawValue), processID: Int32(event.process_id),
      threadID: Int32(event.thread_id), time: event.time, address: event.address,
      sizeInBytes: event.size,
      function: Int(event.probe) < probes.count ? probes[Int(event.probe)].function.name : "?")
  }

  /// Applies a change of the address space.
  func apply(_ event: lt_event, to process: TracedProcess) {
    var site = event.site == UInt32.max ? nil : event.site
    if let site, tables.isPending(site) { completeSamples() }
    // Without a site: inside of an allocator.
    let owner = site.map { self.owner(ofSite: $0, of: process) } ?? .allocator
    if owner != .program { site = nil }
    switch event.kind {
    case UInt32(LT_EVENT_MAP.rawValue):
      process.ledger.map(
        start: event.address, size: event.size, site: site, time: event.time, forAllocator: owner == .allocator)
    case UInt32(LT_EVENT_UNMAP.rawValue):
      process.ledger.unmap(start: event.address, size: event.size)
    case UInt32(LT_EVENT_REMAP.rawValue):
      process.ledger.remap(
        oldStart: event.other_address, oldSize: event.other_size, newStart: event.address,
        newSize: event.size, site: site, time: event.time)
    case UInt32(LT_EVENT_BREAK.rawValue):
      let previous = process.programBreak
      process.programBreak = event.address
      if previous != 0 {
        process.ledger.moveBreak(
          from: previous, to: event.address, site: site, time: event.time)
      }
    default: break
    }
  }

  func follow(child: Int32, parentSlot: UInt32) {
    // Whatever comes of it, the child must not wait longer.
    defer {
      pendingChildren?.remove(UInt32(child))
      tables.finishWaitingChild()
    }
    guard let parent = processOfSlot[parentSlot], running[child] == nil else { return }
    // On kernels whose programs cannot hold it, the child runs already.
    if programs.method == .perf { unheldChildren += 1 }
    do {
      let process = try enter(processID: child, parent: parent)
      process.isTracedFromStart = true
      process.examinedObjects = parent.examinedObjects
      process.hasAllocator = parent.hasAllocator
      process.isForked = true
      process.programBreak = parent.programBreak
      try readMappings(of: process)
      do { try attach(parent.probes, to: process) } catch {
        abandon(process)
        throw error
      }
      noteInitialHeap(of: process)
      onNewImage?(process)
    } catch {
      notes.append("process \(child), child of \(parent.processID), was not followed: \(error)")
    }
  }

  func replaceImage(of process: TracedProcess, generation: UInt32) {
    recordReplacedImage(of: process)
    tables.removeSites(slot: process.slot, olderThan: generation)
    try? tables.removeBlocks(slot: process.slot, keepingGeneration: generation)
    process.generation = generation
    process.beginTime = monotonicNanoseconds()
    process.initialHeapBytes = 0
    process.isTracedFromStart = true
    number(process)
    process.ledger = MappingLedger()
    process.retiredBytes = 0
    process.retiredCount = 0
    process.ownershipOfSite = [:]
    process.programBreak = 0
    process.examinedObjects = []
    process.isForked = false
    // Its loader waits for us before any of its code runs, where programs can wait.
    process.hasOnlyTracedBlocks = programs.method == .session && hasLoader(process)
    name(process)
    onNewImage?(process)
  }

  private func hasLoader(_ process: TracedProcess) -> Bool {
    let mappings = (try? reader.mappings(of: process.processID)) ?? []
    return mappings.contains { isLoader($0) }
  }

  /// Gives back what belongs to stacks with nothing outstanding, when the table of sites fills.
  func reclaimSites() {
    // A compiler comes to thousands of new stacks in a second.
    reclamation.run(
      sites: tables.sites, stacks: tables.stacks, capacity: configuration.maximumSites, now: monotonicNanoseconds(),
      isKept: { record in
        guard let process = processOfSlot[UInt32(record.site.process_slot)] else { return false }
        return process.ledger.totals[UInt32(record.index)] != nil
      },
      retire: { site in
        guard let process = processOfSlot[UInt32(site.process_slot)],
          process.generation == site.process_generation
        else { return }
        process.retiredBytes += site.allocated_bytes
        process.retiredCount += site.allocated_count
      })
  }

  /// Processes are held for a tenth of the time at most, with 10 s in hand for a burst of forks; whoever comes when that
  /// is used up runs on and is counted as late.
  func refillHoldBudget() {
    let now = monotonicNanoseconds()
    let elapsed = lastRefill == 0 ? 100_000_000_000 : Int64(clamping: now - lastRefill)
    lastRefill = now
    tables.refillHoldBudget(by: elapsed / 10, upTo: 10_000_000_000)
  }

  private func nameThread(_ event: lt_event, of process: TracedProcess) {
    let name = withUnsafeBytes(of: (event.address, event.size)) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    process.threadNames[Int32(event.thread_id)] = name
  }

  func name(_ process: TracedProcess) {
    let info = reader.describe(process.processID)
    process.command = info.command
    process.executable = info.executable
  }

  func end(_ process: TracedProcess) {
    process.state = .exited
    process.endTime = monotonicNanoseconds()
    process.links = []
    unwindTables?.release(slot: process.slot)
    running[process.processID] = nil
    tables.leave(processID: process.processID)
  }

  /// Gives back everything that the kernel tables hold of an ended process.
  func forget(_ process: TracedProcess) {
    tables.removeSites(slot: process.slot, olderThan: UInt32.max)
    try? tables.removeBlocks(slot: process.slot, keepingGeneration: nil)
    processOfSlot[process.slot] = nil
    processes.removeAll { $0 === process }
  }
}
