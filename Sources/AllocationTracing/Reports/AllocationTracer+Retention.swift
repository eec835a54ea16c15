import Accounting
import Allocators
import CTraceABI
import LeakAnalysis
import ProcessImage
import TraceModel

extension AllocationTracer {
  /// Notes how much memory a process's heaps take before any of its blocks is traced.
  func noteInitialHeap(of process: TracedProcess) {
    guard configuration.looksAtRetention else { return }
    process.image.initialHeapBytes = (try? heaps(of: process))?.residentBytes
  }

  private func heaps(of process: TracedProcess) throws -> AllocatorHeaps {
    try AllocatorHeaps(
      processID: process.processID, mappings: reader.mappings(of: process.processID),
      allocatorMemory: process.image.ledger.allocatorMemory,
      ownMappings: process.image.ledger.ranges.map { $0.start..<$0.end })
  }

  /// For each running process, what its allocators hold beside the outstanding blocks.
  func retentionSummaries(sites: [SiteRecord<lt_site>]) -> [RetentionSummary] {
    // The sizes of freed blocks from before the trace are not known. While sampling, the sizes of most other blocks are not,
    // either.
    guard configuration.looksAtRetention, !tables.sampling.isSampling else { return [] }
    let seesEverything = seesEveryBlock
    var outstanding: [UInt32: Tally] = [:]
    for record in sites {
      outstanding[UInt32(record.site.process_slot), default: Tally()] += Tally(
        bytes: record.outstandingBytes, count: wholeBlocks(ofUnits: record.outstandingCount))
    }
    return processes.compactMap { process in
      guard process.state == .running, let heaps = try? heaps(of: process),
        let initial = process.image.initialHeapBytes
      else { return nil }
      var summary = retention(of: process, heaps, initial: initial, outstanding: outstanding[process.slot] ?? Tally())
      if !seesEverything { summary.finding = nil }
      return summary
    }
  }

  private func retention(
    of process: TracedProcess, _ heaps: AllocatorHeaps, initial: UInt64, outstanding: Tally
  ) -> RetentionSummary {
    let resident = heaps.residentBytes
    var numbers = RetentionFinding.Numbers(
      residentBytes: resident, residentGrowth: Int64(clamping: resident) - Int64(clamping: initial),
      outstandingGrowth: Int64(clamping: outstanding.bytes), outstandingCount: outstanding.count, pinnedBytes: nil,
      allocator: allocator(of: process))
    // What was outstanding once is known of all processes together.
    if processes.count == 1 { numbers.greatestOutstanding = growth?.timeline.map(\.outstanding.bytes).max() }
    if process.hasOnlyTracedBlocks, RetentionFinding.isSignificant(numbers) {
      numbers.pinnedBytes = heaps.pinnedBytes { add in
        try? forEachOutstandingBlock(of: process) { address, size, _, _ in add(address..<(address &+ max(size, 1))) }
      }
    }
    return RetentionSummary(
      processID: process.processID, residentHeapBytes: resident, mappedHeapBytes: heaps.mappedBytes,
      outstandingBytes: outstanding.bytes, residentHeapGrowth: numbers.residentGrowth,
      outstandingGrowth: numbers.outstandingGrowth, finding: RetentionFinding.sentence(numbers))
  }

  /// Whether every block is recorded: neither left out by its size nor refused. What is not recorded explains the growth of a
  /// heap as well as fragmentation does.
  private var seesEveryBlock: Bool {
    guard configuration.sizes == 0...(.max) else { return false }
    let refused: Set<String> = [
      "blocks_refused", "sites_refused", "thread_state_refused", "scratch_busy", "unreadable_results", "events_lost",
    ]
    return !lossCounters().contains { $0.value > 0 && refused.contains($0.name) }
  }

  /// The allocator that the program uses.
  func allocator(of process: TracedProcess) -> Allocator {
    Allocator.inUse(mappedPaths: attacher.probes(of: process).map(\.object.path)) ?? .other
  }

  /// What the target processes ran, each program once. A trace of a host can have many: not more than 64 are told.
  ///
  /// - Parameter report: of this tracer; the build of an executable is known where a stack leads through it.
  package func programs(in report: Report) -> [Report.Program] {
    let executables = Set(processes.filter(\.isTarget).compactMap(\.executable))
    var builds: [String: String] = [:]
    for site in report.sites + (report.freedSites ?? []) where builds.count < executables.count {
      for frame in site.frames {
        guard let module = frame.module, executables.contains(module), builds[module] == nil else { continue }
        builds[module] = frame.buildID
      }
    }
    var programs: [Report.Program] = []
    for process in processes where process.isTarget && programs.count < 64 {
      let program = Report.Program(
        executable: process.executable, buildID: process.executable.flatMap { builds[$0] },
        allocator: process.hasAllocator ? allocator(of: process).name : nil)
      if !programs.contains(program) { programs.append(program) }
    }
    return programs
  }
}
