import Allocators
import LeakAnalysis
import ProcessImage
import Runtimes
import SystemSupport
import TraceModel

/// Growth of processes that no traced call accounts for.
extension AllocationTracer {
  /// Less is not worth a word: runtimes and C libraries map that much for themselves.
  private static let leastUnexplained: UInt64 = 4 << 20
  /// A collected heap is let grow to twice its size before it is looked through.
  private static let leastRuntimeHeap: UInt64 = 16 << 20
  /// Reading what is resident takes time for large processes: this part of all time at most.
  private static let shareOfTime: UInt64 = 50
  private static let shortestPause: UInt64 = 1_000_000_000
  /// Of more processes this is not asked in passing.
  private static let mostProcesses = 64

  /// Notes what memory a process has now that its probes are on. What it takes from here on is to be accounted for.
  func noteBaseline(of process: TracedProcess) {
    guard configuration.tracesMappings else { return }
    guard !process.image.beginsEmpty else {
      process.image.baseline = MemoryBaseline()
      return
    }
    // A child's mappings have just been read, and it waits.
    let mappings =
      process.image.isForked ? process.mappings : (try? reader.mappings(of: process.processID)) ?? []
    process.image.baseline = baseline(of: process, mappings)
  }

  private func baseline(of process: TracedProcess, _ mappings: [Mapping]) -> MemoryBaseline? {
    guard let own = ProcessInfo.ownBytes(of: process.processID), !mappings.isEmpty else { return nil }
    // The heaps of the C libraries are known by their structure; other allocators may have reserved more than they use.
    let reservesUnseen = ![Allocator.glibc, .musl].contains(allocator(of: process))
    return MemoryBaseline(ownBytes: own, mappings: mappings, includesReserved: reservesUnseen)
  }

  /// Looks at growth in passing, so that something is known of a process that ends before the next report.
  func noteUnexplainedGrowth() {
    let now = monotonicNanoseconds()
    guard now >= nextUnexplainedLook, !isLookingAtGrowth else { return }
    nextUnexplainedLook = now &+ Self.shortestPause
    guard processes.count(where: { $0.state == .running }) <= Self.mostProcesses else { return }
    lookAtUnexplainedGrowth()
    for process in processes where process.state == .running && process.isTarget {
      process.image.threads = threads(of: process)
    }
    let end = monotonicNanoseconds()
    nextUnexplainedLook = end &+ max(Self.shortestPause, (end &- now) &* Self.shareOfTime)
  }

  /// Finds out for every running process. Handles events, so that what was mapped just now is known.
  func lookAtUnexplainedGrowth() {
    guard configuration.tracesMappings, !isLookingAtGrowth else { return }
    isLookingAtGrowth = true
    defer { isLookingAtGrowth = false }
    for process in processes where process.state == .running && process.image.baseline != nil {
      let number = process.imageNumber
      let found = unexplainedGrowth(of: process)
      // It may have ended or run another program meanwhile.
      if process.imageNumber == number, process.state == .running { process.image.unexplained = found }
    }
  }

  private func unexplainedGrowth(of process: TracedProcess) -> UnexplainedGrowth? {
    guard let baseline = process.image.baseline, let own = ProcessInfo.ownBytes(of: process.processID),
      own > baseline.ownBytes, own - baseline.ownBytes >= Self.leastUnexplained, !hasLostMappings,
      var unseen = unseenMemory(of: process, baseline)
    else { return nil }
    guard !unseen.memory.parts.isEmpty else { return nil }
    // What is mapped and unmapped all the time is in one of two looks at most, or in the ledger.
    guard let again = unseenMemory(of: process, baseline) else { return nil }
    unseen.memory.intersect(again.memory)
    guard !unseen.memory.parts.isEmpty else { return nil }
    do { try removeAllocatorParts(of: process, from: &unseen.memory) } catch { return nil }
    var parts = unseen.memory.residentBytes(of: process.processID, mappings: again.mappings)
    if let heap = parts.first(where: { $0.kind == .runtimeHeap })?.bytes,
      heap < max(Self.leastRuntimeHeap, baseline.ownBytes)
    {
      parts.removeAll { $0.kind == .runtimeHeap }
    }
    let sum = parts.reduce(UInt64(0)) { $0 &+ $1.bytes }
    let gone = baseline.removedBytes(mappings: again.mappings)
    let growth = own - baseline.ownBytes
    let bytes = min(growth, sum > gone ? sum - gone : 0)
    // Beside growth that is explained a small part says nothing.
    guard bytes >= max(Self.leastUnexplained, growth / 8) else { return nil }
    if process.image.beginsEmpty, hasGoHeap(process) {
      // Its heap as it is when it is first seen is what the program needs to begin with.
      process.image.baseline = self.baseline(of: process, again.mappings)
      process.image.beginsEmpty = false
      return nil
    }
    return UnexplainedGrowth(processID: process.processID, bytes: bytes, parts: parts)
  }

  private func removeAllocatorParts(of process: TracedProcess, from memory: inout UnseenMemory) throws {
    var addresses: [UInt64] = []
    try forEachOutstandingBlock(of: process) { address, _, _, _ in addresses.append(address) }
    memory.removeParts { note in addresses.forEach(note) }
  }

  /// What is mapped and in nothing that was known right before or is known right after the reading.
  private func unseenMemory(
    of process: TracedProcess, _ baseline: MemoryBaseline
  ) -> (memory: UnseenMemory, mappings: [Mapping])? {
    var known = baseline.ranges + tracedRanges(of: process)
    guard let mappings = try? reader.mappings(of: process.processID) else { return nil }
    handleEvents()
    guard process.state == .running else { return nil }
    known += tracedRanges(of: process)
    // musl moves the break by a system call of its own.
    let probes = attacher.probes(of: process)
    let seesBreak =
      probes.contains { $0.function.kind == .programBreak } && allocator(of: process) != .musl
      && process.image.programBreak > 0
    let programBreak = seesBreak ? process.image.programBreak : nil
    // Arenas of glibc; the part of the heap that is the break's is told apart by it.
    let arenas = try? AllocatorHeaps(
      processID: process.processID, mappings: mappings.filter { $0.path != "[heap]" }, allocatorMemory: [],
      ownMappings: [])
    known += arenas?.ranges ?? []
    return (
      UnseenMemory(
        mappings: mappings, known: known, programBreak: programBreak, hasGoHeap: hasGoHeap(process)), mappings
    )
  }

  private func tracedRanges(of process: TracedProcess) -> [Range<UInt64>] {
    process.image.ledger.ranges.map { $0.start..<$0.end } + process.image.ledger.allocatorMemory
  }

  /// Whether calls that map memory may have been made that nobody was told of.
  private var hasLostMappings: Bool {
    lossCounters().contains { $0.name == "events_lost" && $0.value > 0 }
  }

  private func hasGoHeap(_ process: TracedProcess) -> Bool {
    if let known = process.image.hasGoHeap { return known }
    let found =
      (try? ElfFile(path: "/proc/\(process.processID)/exe")).flatMap { Runtime.linked(into: $0) } == .go
    process.image.hasGoHeap = found
    return found
  }
}
