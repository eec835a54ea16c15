import Accounting
import CTraceABI
import LeakAnalysis
import Symbolization
import TraceModel

@testable import AllocationTracing

/// A trace that never was: snapshots as a test wants them.
struct SyntheticTrace {
  static let second: UInt64 = 1_000_000_000
  var snapshot: TraceSnapshot
  let naming = FakeNaming()

  /// Begun at second 100, looked at ten seconds later.
  init(configuration: TraceConfiguration = TraceConfiguration()) {
    snapshot = TraceSnapshot(
      configuration: configuration, time: 110 * Self.second, startTime: 100 * Self.second)
    snapshot.siteCapacity = 16
    snapshot.blocks = []
    snapshot.probes = [
      Report.Probe(
        function: "malloc", object: "/lib/libc.so.6", offset: 0, instruction: "push", isEmulated: true, kind: .multi)
    ]
  }

  /// Adds a process in the next slot; returns its slot.
  @discardableResult
  mutating func addProcess(
    _ processID: Int32, isTarget: Bool = true, state: Report.ProcessTotals.State = .running
  ) -> UInt32 {
    let slot = UInt32(snapshot.processes.count)
    var process = TraceSnapshot.Process(processID: processID, slot: slot, imageNumber: slot + 1)
    process.isTarget = isTarget
    process.state = state
    snapshot.processes.append(process)
    return slot
  }

  /// Adds a site of a stack of one frame at `address`; returns its index.
  @discardableResult
  mutating func addSite(
    slot: UInt32, at address: UInt64, allocated: Tally = Tally(), freed: Tally = Tally(), epoch: UInt32 = 0,
    generation: UInt32 = 1, thread: UInt32 = 0
  ) -> Int {
    var site = lt_site()
    site.key = UInt64(snapshot.sites.count * 2 + 1)
    site.stack_hash = address
    site.allocated_bytes = allocated.bytes
    site.allocated_count = allocated.count << UInt64(LT_COUNT_UNIT_SHIFT)
    site.freed_bytes = freed.bytes
    site.freed_count = freed.count << UInt64(LT_COUNT_UNIT_SHIFT)
    site.process_slot = UInt16(slot)
    site.process_generation = generation
    site.epoch = epoch
    site.state = LT_SITE_READY.rawValue | thread << UInt32(LT_SITE_THREAD_SHIFT)
    snapshot.stacks[address] = StackTrace(addresses: [address], completeness: .complete)
    snapshot.sites.append(SiteRecord(index: snapshot.sites.count, site: site))
    return snapshot.sites.count - 1
  }

  /// Adds an outstanding block, born so many seconds after the beginning.
  mutating func addBlock(_ site: Int, at address: UInt64, bytes: UInt64, bornAfter seconds: UInt64 = 1) {
    snapshot.blocks?.append(
      TraceSnapshot.Block(
        address: address, sizeInBytes: bytes, site: site, time: (100 + seconds) * Self.second))
  }

  func report(_ request: ReportRequest = ReportRequest()) -> Report {
    var builder = ReportBuilder(snapshot, request: request, naming: naming)
    return builder.build()
  }
}

/// Names frames by their addresses, and says that code changed where a test says so.
final class FakeNaming: StackNaming {
  var notes: [String] = []
  /// Addresses that mean something else in every epoch.
  var changing: Set<UInt64> = []
  private(set) var namedStacks = 0

  func record(_ process: TracedProcess) {}

  func frames(of stack: StackTrace, in code: RecordedCode) -> [Frame] {
    namedStacks += 1
    return stack.addresses.map { Frame(address: $0, function: "f\($0)") }
  }

  /// Addresses that are the same code as others.
  var moved: [UInt64: UInt64] = [:]

  func codePlaces(of stack: StackTrace, in code: RecordedCode) -> [CodePlace?] {
    stack.addresses.map { CodePlace(code: changing.contains($0) ? Int(code.epoch) : 0, offset: moved[$0] ?? $0) }
  }

  func hasRemovedCode(_ code: RecordedCode) -> Bool { !moved.isEmpty }
}

/// A leak check that was told what to say.
struct FakeCheck: BlockVerdicts {
  var processID: Int32
  var generation: UInt32 = 1
  /// By address of the block; others are unchecked.
  var verdicts: [UInt64: BlockVerdict]
  var summary: LeakCheckSummary { LeakCheckSummary(processID: processID) }

  func verdict(of block: LeakBlock) -> BlockVerdict { verdicts[block.address] ?? BlockVerdict(kind: .unchecked) }
  func verdict(ofMapping block: LeakBlock) -> BlockVerdict { verdict(of: block) }
}
