import Accounting
import BPFRuntime
import CTraceABI
import ProcessControl
import ProcessImage
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Handles all events that are waiting.
  package func handleEvents() {
    var work = EventWork()
    // Stacks come first: on whose behalf a mapping was made is decided by the stack of its site.
    completion.completeSamples()
    pump.drain { handle($0, &work) }
    followLasting()
    for process in work.toUpdate.values where process.state == .running { updateOrNote(process) }
    for (slot, change) in work.answers { tables.answerLoader(change: change, slot: slot) }
    pump.relax()
    completion.answerRequests()
    reclaimSites()
    makeRoom()
    recordGrowth(at: monotonicNanoseconds())
    pump.noteRun()
    noteUnexplainedGrowth()
  }

  /// Thins the table of blocks if there are more than are kept one by one.
  private func makeRoom() {
    guard !configuration.refusesBeyondMaximum, tables.liveBlocks > thinning.capacity else { return }
    let refused = tables.counterValues()[Int(LT_COUNTER_BLOCKS_REFUSED.rawValue)]
    do throws(BPFError) {
      try thinning.run(on: tables, now: monotonicNanoseconds(), refused: refused)
    } catch { traceNotes.add("the table of blocks cannot be thinned: \(error)") }
  }

  /// Notes what every site holds, if the next tick is due.
  ///
  /// - Parameter isForced: note it in any case: what is reported then is part of the course.
  func recordGrowth(at now: UInt64, isForced: Bool = false) {
    guard isForced || growth?.isDue(at: now) == true else { return }
    growth?.record(
      tables.sites, processes: processes.filter(isCounted), now: now)
  }

  /// Whether what a process holds, or held at its end, counts in the course of the trace: as in its reports.
  private func isCounted(_ process: TracedProcess) -> Bool {
    process.state == .running || process.isTarget || configuration.countsEnded
  }

  /// Handles events now if some may have waited for too long.
  func handleOverdueEvents() {
    if pump.isOverdue { handleEvents() }
  }

  /// What remains to be done when all events have been taken.
  private struct EventWork {
    var toUpdate: [ObjectIdentifier: TracedProcess] = [:]
    /// By slot: the latest change of its loader that a process is to be answered.
    var answers: [UInt32: UInt64] = [:]

    mutating func update(_ process: TracedProcess) { toUpdate[ObjectIdentifier(process)] = process }
  }

  private func handle(_ event: TraceEvent, _ work: inout EventWork) {
    switch event {
    case .block(let block): onEvent?(allocationEvent(block))
    case .tableFilling: break  // room is made when the events have been taken
    case .forked(let fork):
      // Where nobody can be held, a child is attached to as soon as possible, unless there are so many that we lag behind.
      let isFresh = !programs.holdsProcesses && monotonicNanoseconds() &- fork.time < Self.freshForkNanoseconds
      guard fork.isHeld || isFresh && !fork.sharesMemory else { return children.add(fork) }
      pump.hurry()
      tables.setAttaching(fork.child)
      follow(fork)
      tables.setAttaching(nil)
    case .executed(let processID, let generation):
      // The process may wait for us before the program's first instruction.
      defer { children.release(processID) }
      guard let process = processTable.running(processID) else { return }
      pump.hurry()
      tables.setAttaching(processID)
      defer { tables.setAttaching(nil) }
      completion.completeSamples(lastOf: process)
      replaceImage(of: process, generation: generation)
      updateOrNote(process)
    case .exited(let processID):
      guard let process = processTable.running(processID) else { return }
      completion.completeSamples(lastOf: process)
      end(process)
    case .threadNamed(let processID, let threadID, let name):
      processTable.running(processID)?.image.threadNames[threadID] = name
    case .loaded(let processID, let change):
      guard let process = processTable.running(processID) else { return }
      name(process)  // just after an exec there were no arguments to read yet
      pump.hurry()
      work.update(process)
      work.answers[process.slot] = max(work.answers[process.slot] ?? 0, change)
    case .raised(let processID, let change, let place, let returnAddress):
      guard let process = processTable.running(processID) else { return }
      pump.hurry()
      ReturnAddresses.putBack(returnAddress, at: place, ofProcess: processID)
      work.answers[process.slot] = max(work.answers[process.slot] ?? 0, change)
    case .addressSpace(let event):
      guard let process = processTable.process(slot: event.slot), process.processID == event.processID else { return }
      if let site = event.site, tables.isPending(site) { completion.completeSamples() }
      // No site means that the call came from inside an allocator.
      let owner = event.site.map { self.owner(ofSite: $0, of: process) } ?? .allocator
      if owner == .program, let site = event.site, makesThreadStacks(site: site, of: process) {
        process.image.threadStackSites.insert(site)
      }
      process.image.apply(event.change, site: event.site, owner: owner, time: event.time)
    case .creatingThread(let slot, let processID, let creator, let start, let site):
      guard let process = processTable.process(slot: slot), process.processID == processID else { return }
      process.image.threadBirths.begin(by: creator, ThreadBirths.Birth(start: start, site: site))
    case .createdThread(let slot, let processID, let creator, let controlBlock):
      guard let process = processTable.process(slot: slot), process.processID == processID else { return }
      process.image.threadBirths.end(by: creator, controlBlock: controlBlock)
    }
  }

  private func allocationEvent(_ block: TraceEvent.Block) -> AllocationEvent {
    AllocationEvent(
      isFree: block.isFree, processID: block.processID, threadID: block.threadID, time: block.time,
      address: block.address, sizeInBytes: block.sizeInBytes, function: attacher.functionName(ofProbe: block.probe))
  }

  // MARK: Processes

  /// For how many nanoseconds after its birth a child is attached to at once although it was not held.
  private static let freshForkNanoseconds: UInt64 = 20_000_000

  private func updateOrNote(_ process: TracedProcess) {
    do { try update(process, canStop: false) } catch let error as Refusal {
      traceNotes.add(error.description, of: "processes whose new code was not probed")
    } catch {
      // The process has ended meanwhile: its exit event follows.
    }
  }

  /// Follows a process that has not been attached to.
  private func follow(_ fork: TraceEvent.Fork) {
    // Whatever happens here, the child must not wait any longer.
    defer { children.release(fork.child) }
    guard let parent = processTable.process(slot: fork.parentSlot), !isTracing(fork.child), children.isPresent(fork)
    else { return }
    if processTable.isFull {
      children.refusedCount += 1
      return
    }
    do {
      let process = try enter(processID: fork.child, parent: parent) { generation, number in
        guard fork.hasExecuted else {
          var image = TracedImage.forked(
            from: parent.image, generation: generation, number: number, beginTime: monotonicNanoseconds())
          image.isTracedFromStart = fork.isHeld
          return image
        }
        return .executed(
          generation: generation, number: number, beginTime: monotonicNanoseconds(), waitsForUs: fork.isHeld)
      }
      do {
        if fork.isHeld, !fork.hasExecuted {
          process.hasAllocator = parent.hasAllocator
          try spaces.read(process)
          try attacher.attach(like: parent, to: process)
        } else {
          // Its parent may have got further, or run another program, since it was born.
          process.image.examinedObjects = []
          if !fork.hasExecuted { attacher.inheritGates(of: parent, by: process) }
          try update(process, canStop: false)
        }
      } catch {
        abandon(process)
        throw error
      }
      noteInitialHeap(of: process)
      noteBaseline(of: process)
      onNewImage?(process)
    } catch {
      guard !reader.isGone(fork.child) else {
        children.endedCount += 1
        return
      }
      traceNotes.add(
        "process \(fork.child), child of \(parent.processID), was not followed: \(error)",
        of: "child processes that were not followed")
    }
  }

  /// Follows the children that were not held and have lived for a while, as far as there is time: this must not keep the
  /// held ones waiting.
  private func followLasting() {
    let begin = monotonicNanoseconds()
    while monotonicNanoseconds() &- begin < Self.freshForkNanoseconds, let fork = children.takeLasting(now: begin) {
      if fork.sharesMemory { children.lateCount += 1 }
      follow(fork)
    }
  }

  private func replaceImage(of process: TracedProcess, generation: UInt32) {
    // Where programs can hold a process, it waits for us before any code of the program runs; else only its loader does.
    let waitsForUs = programs.method == .session && hasLoader(process)
    processTable.replaceImage(
      of: process,
      with: .executed(
        generation: generation, number: processTable.nextImageNumber(), beginTime: monotonicNanoseconds(),
        waitsForUs: waitsForUs),
      totals: totals(of: process))
    process.codeAreas = nil
    name(process)
    onNewImage?(process)
  }

  /// What the present image of a process has allocated and freed, and holds.
  private func totals(of process: TracedProcess) -> Report.Totals {
    var sums = SiteSums()
    tables.sites.forEachSite { record in
      guard UInt32(record.site.process_slot) == process.slot, record.site.process_generation == process.generation
      else { return }
      if record.site.allocated_count > 0 { sums.addHeap(record) }
      if let totals = process.image.ledger.totals[UInt32(record.index)],
        !process.image.threadStackSites.contains(UInt32(record.index))
      {
        sums.add(totals)
      }
    }
    var totals = Report.Totals()
    totals.add(sums)
    return totals
  }

  private func hasLoader(_ process: TracedProcess) -> Bool {
    let mappings = (try? reader.mappings(of: process.processID)) ?? []
    return mappings.contains(where: \.isLoader)
  }

  private func name(_ process: TracedProcess) {
    let info = reader.describe(process.processID)
    process.command = info.command
    process.executable = info.executable
  }

  private func end(_ process: TracedProcess) {
    spaces.release(process)
    processTable.end(process, at: monotonicNanoseconds())
  }

  // MARK: Sites

  /// On whose behalf a site maps memory: for the program itself, the dynamic loader, or a probed allocator. The programs
  /// already leave out most of what is not the program's own, but not where a call was not followed because of sampling.
  private func owner(ofSite site: UInt32, of process: TracedProcess) -> MappingOwner {
    withCodeAreas(of: process) { areas in
      if let known = areas.ownerOfSite[site] { return known }
      let owner = areas.owner(ofStack: stackTrace(hash: tables.stackHash(ofSite: site)).addresses)
      areas.ownerOfSite[site] = owner
      return owner
    }
  }

  func withCodeAreas<Result>(of process: TracedProcess, _ body: (inout CodeAreas) -> Result) -> Result {
    var areas =
      process.codeAreas
      ?? CodeAreas(
        mappings: process.mappings, probes: attacher.probes(of: process), executable: process.executable)
    // The process lets go of it meanwhile, so that it has one owner only and is changed without being copied.
    process.codeAreas = nil
    defer { process.codeAreas = areas }
    return body(&areas)
  }

  /// Gives back the sites and stacks that have nothing outstanding, when the table of sites fills up: a compiler makes
  /// thousands of new stacks in a second.
  private func reclaimSites() {
    reclamation.run(
      sites: tables.sites, stacks: tables.stacks, capacity: configuration.maximumSites, now: monotonicNanoseconds(),
      isKept: { record in
        guard let process = processTable.process(slot: UInt32(record.site.process_slot)) else { return false }
        return process.image.ledger.totals[UInt32(record.index)] != nil
          || process.image.threadBirths.sites.contains(UInt32(record.index))
      },
      retire: { site in
        guard let process = processTable.process(slot: UInt32(site.process_slot)),
          process.generation == site.process_generation
        else { return }
        process.image.retired += Tally(bytes: site.allocated_bytes, count: site.allocated_count)
      })
  }
}
