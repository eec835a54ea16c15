import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import Testing
import TraceModel

@testable import AllocationTracing

/// Reports of snapshots that were made by hand.
@Suite struct ReportBuilderTests {
  // MARK: Totals

  @Test func totalsAreTheSumOfTheSites() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 0x1000, allocated: Tally(bytes: 300, count: 3), freed: Tally(bytes: 100, count: 1))
    trace.addSite(slot: slot, at: 0x2000, allocated: Tally(bytes: 50, count: 5), freed: Tally(bytes: 50, count: 5))
    trace.snapshot.processes[0].unmatchedFrees = 4
    trace.snapshot.processes[0].retired = Tally(bytes: 1000, count: 10 << UInt64(LT_COUNT_UNIT_SHIFT))
    let report = trace.report()
    #expect(report.totals.outstanding == Tally(bytes: 200, count: 2))
    // What sites had that are gone counts as allocated and freed.
    #expect(report.totals.allocated == Tally(bytes: 1350, count: 18))
    #expect(report.totals.freed == Tally(bytes: 1150, count: 16))
    #expect(report.totals.unmatchedFrees == 4)
    #expect(report.totals.outstandingBytesStandardError == nil)
    // Only what holds something is a site.
    #expect(report.sites.map(\.frames.first?.function) == ["f4096"])
    #expect(report.sites[0].allocator == "malloc")
    #expect(report.window.duration == .seconds(10))
  }

  @Test func sitesAreSortedAndLimited() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    let large = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 900, count: 1))
    let many = trace.addSite(slot: slot, at: 2, allocated: Tally(bytes: 500, count: 50))
    let old = trace.addSite(slot: slot, at: 3, allocated: Tally(bytes: 100, count: 1))
    trace.addBlock(large, at: 0x10, bytes: 900, bornAfter: 8)
    trace.addBlock(many, at: 0x20, bytes: 10, bornAfter: 7)
    trace.addBlock(old, at: 0x30, bytes: 100, bornAfter: 2)
    func order(_ order: ReportRequest.Order, limit: Int? = nil) -> [UInt64] {
      var request = ReportRequest()
      request.order = order
      request.limit = limit
      return trace.report(request).sites.map { $0.stack.addresses[0] }
    }
    #expect(order(.bytes) == [1, 2, 3])
    #expect(order(.count) == [2, 1, 3])
    #expect(order(.age) == [3, 2, 1])
    #expect(order(.bytes, limit: 2) == [1, 2])
    // Against the report before: the second grew by 400, the others not at all.
    let key = { SiteKey(slot: slot, generation: 1, stackHash: $0, allocationClass: .heap, epoch: 0, threadID: nil) }
    trace.snapshot.previousOutstanding = [key(1): 900, key(2): 100, key(3): 100]
    #expect(order(.growth)[0] == 2)
  }

  /// A curve ends where the totals are, also when its last moment was noted without what an ended process had mapped.
  @Test func theCourseEndsWithTheTotals() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 0x1000, allocated: Tally(bytes: 300, count: 3))
    trace.snapshot.timeline = [
      Report.Moment(elapsed: .seconds(1), outstanding: Tally(bytes: 100, count: 1), residentBytes: 4096),
      Report.Moment(elapsed: .seconds(10), outstanding: Tally(bytes: 200, count: 2), residentBytes: 8192),
    ]
    let report = trace.report()
    #expect(report.window.duration == .seconds(10))
    #expect(report.timeline.map(\.outstanding.bytes) == [100, 300])
    #expect(report.timeline.map(\.residentBytes) == [4096, 8192])
    trace.snapshot.timeline.removeLast()
    #expect(trace.report().timeline.map(\.elapsed) == [.seconds(1), .seconds(10)])
    #expect(trace.report().timeline.map(\.residentBytes) == [4096, nil])
    // What was noted just before the report is no moment of its own.
    trace.snapshot.timeline += [
      Report.Moment(elapsed: .seconds(5), outstanding: Tally(bytes: 200, count: 2), residentBytes: 6000),
      Report.Moment(
        elapsed: .seconds(10) - .microseconds(300), outstanding: Tally(bytes: 299, count: 3), residentBytes: 8000),
    ]
    #expect(trace.report().timeline.map(\.elapsed) == [.seconds(1), .seconds(5), .seconds(10)])
    #expect(trace.report().timeline.map(\.outstanding.bytes) == [100, 200, 300])
    #expect(trace.report().timeline.map(\.residentBytes) == [4096, 6000, 8000])
  }

  /// The first sites have a course, and so have those that come late but grow.
  @Test func whatMattersHasACourse() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.snapshot.siteCapacity = 64
    // Twenty-one that stay as they are, each smaller than the one before, and a small one that grows.
    let sizes = (0..<21).map { UInt64(10_000 - $0 * 100) }
    for (index, size) in sizes.enumerated() {
      let site = trace.addSite(slot: slot, at: UInt64(index + 1), allocated: Tally(bytes: size, count: 1))
      trace.addBlock(site, at: UInt64(0x1000 + index), bytes: size, bornAfter: 0)
    }
    let growing = trace.addSite(slot: slot, at: 99, allocated: Tally(bytes: 640, count: 64))
    for block in 0..<64 {
      trace.addBlock(growing, at: UInt64(0x9000 + block), bytes: 10, bornAfter: UInt64(block * 10 / 64))
    }
    var history = OutstandingHistory(start: trace.snapshot.startTime, siteCount: 64)
    for tick in 0..<64 {
      history.beginTick(at: trace.snapshot.startTime + UInt64(tick) * SyntheticTrace.second * 10 / 64)
      for record in trace.snapshot.sites {
        history.record(
          site: record.index, identity: record.identity,
          outstandingBytes: record.index == growing ? UInt64(10 * (tick + 1)) : sizes[record.index], allocatedCount: 1)
      }
      history.endTick()
    }
    trace.snapshot.history = history
    trace.snapshot.processes[0].growthClock = history.clock(since: trace.snapshot.startTime)
    let report = trace.report()
    #expect(report.sites.count == 22)
    #expect(report.sites[21].growth?.word == .growing)
    // What grows is counted whatever reaches it.
    for kind in [VerdictKind.definitelyLost, .stillReachable, .unchecked] {
      let verdicts = (0..<64).map { (UInt64(0x9000 + $0), BlockVerdict(kind: kind)) }
      trace.snapshot.checks = [FakeCheck(processID: 7, verdicts: Dictionary(uniqueKeysWithValues: verdicts))]
      #expect(trace.report().leakChecks.map(\.growing) == [Tally(bytes: 640, count: 64)])
    }
    trace.snapshot.checks = []
    #expect(report.sites.indices.filter { report.sites[$0].course != nil } == Array(0..<20) + [21])
    let course = report.sites[21].course
    #expect(course?.bytes.count == course?.seconds.count)
    #expect(course?.bytes.last == 640)
    #expect((course?.bytes.count ?? 0) <= 64)
    #expect(Set(report.sites[0].course?.bytes ?? []) == [10_000])
  }

  @Test func whatIsYoungerThanAskedForIsLeftOut() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    let site = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 30, count: 2))
    trace.addBlock(site, at: 0x10, bytes: 10, bornAfter: 2)
    trace.addBlock(site, at: 0x20, bytes: 20, bornAfter: 9)
    var request = ReportRequest()
    request.minimumAge = .seconds(5)
    request.listsBlocks = true
    let report = trace.report(request)
    #expect(report.sites[0].outstanding == Tally(bytes: 10, count: 1))
    #expect(report.sites[0].allocations.map(\.address) == [0x10])
    #expect(report.sites[0].allocations[0].age == .seconds(8))
    #expect(report.sites[0].oldestAge == .seconds(8))
    // The sums of the trace are of everything.
    #expect(report.totals.outstanding == Tally(bytes: 30, count: 2))
  }

  /// One snapshot gives the same numbers to whoever asks.
  @Test func reportsOfOneSnapshotAgree() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    let site = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 30, count: 1))
    trace.addBlock(site, at: 0x10, bytes: 30)
    var other = ReportRequest()
    other.listsBlocks = true
    other.order = .growth
    let first = trace.report()
    let second = trace.report(other)
    #expect(first.totals == second.totals)
    #expect(first.sites.map(\.outstanding) == second.sites.map(\.outstanding))
    #expect(first.sites[0].allocations.isEmpty && second.sites[0].allocations.count == 1)
  }

  /// Without a look at single blocks there are the totals kept per site, and no ages.
  @Test func combinedOnly() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 30, count: 1))
    trace.snapshot.blocks = nil
    var request = ReportRequest()
    request.minimumAge = .seconds(60)
    let report = trace.report(request)
    #expect(report.sites.map(\.outstanding) == [Tally(bytes: 30, count: 1)])
    #expect(report.sites[0].oldestAge == nil)
  }

  // MARK: Sampling

  @Test func samplesOfOneInManyAreWeighted() {
    var configuration = TraceConfiguration()
    configuration.sampleEveryNth = 4
    var trace = SyntheticTrace(configuration: configuration)
    let slot = trace.addProcess(7)
    // Totals hold the weights already.
    let unit = UInt64(1) << UInt64(LT_COUNT_UNIT_SHIFT)
    let site = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 80, count: 8))
    trace.addBlock(site, at: 0x10, bytes: 10)
    trace.addBlock(site, at: 0x20, bytes: 10)
    trace.snapshot.processes[0].retired = Tally(bytes: 40, count: 4 * unit)
    let report = trace.report()
    #expect(report.sampling == Report.Sampling(meanInBytes: 0, everyNth: 4))
    #expect(report.sites[0].outstanding == Tally(bytes: 80, count: 8))
    #expect(report.totals.outstanding == Tally(bytes: 80, count: 8))
    #expect(report.totals.allocated == Tally(bytes: 120, count: 12))
    // Two blocks, each 10² · 4 · 3.
    #expect(report.totals.outstandingBytesStandardError == Double(2400).squareRoot())
    #expect(report.sites[0].outstandingBytesStandardError == Double(2400).squareRoot())
  }

  /// By bytes a block of size S is chosen with probability 1 − e^(−S/R).
  @Test func samplesByBytesAreWeightedByTheirSize() {
    var configuration = TraceConfiguration()
    configuration.sampleMeanInBytes = 1000
    var trace = SyntheticTrace(configuration: configuration)
    let slot = trace.addProcess(7)
    let small = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 1000, count: 100))
    let large = trace.addSite(slot: slot, at: 2, allocated: Tally(bytes: 100_000, count: 1))
    trace.addBlock(small, at: 0x10, bytes: 10)
    trace.addBlock(large, at: 0x20, bytes: 100_000)
    let sites = trace.report().sites
    #expect(sites.map { $0.stack.addresses[0] } == [2, 1])
    // A block a hundred times the mean is as good as certain, a small one stands for about R/S blocks and R bytes.
    #expect(sites[0].outstanding == Tally(bytes: 100_000, count: 1))
    #expect(sites[1].outstanding.count == 101)
    #expect((1000...1010).contains(sites[1].outstanding.bytes))
    #expect((sites[1].outstandingBytesStandardError ?? 0) > 900)
    #expect(sites[0].outstandingBytesStandardError == 0)
  }

  // MARK: Processes

  @Test func endedProcessesAreLeftOutWhileTargetsRun() {
    var trace = SyntheticTrace()
    let target = trace.addProcess(7)
    let child = trace.addProcess(8, isTarget: false, state: .exited)
    trace.addSite(slot: target, at: 1, allocated: Tally(bytes: 10, count: 1))
    trace.addSite(slot: child, at: 2, allocated: Tally(bytes: 20, count: 1))
    let report = trace.report()
    #expect(report.totals.outstanding == Tally(bytes: 10, count: 1))
    #expect(report.sites.map(\.processID) == [7])
    // It has its line all the same.
    #expect(report.processes.map(\.processID) == [7, 8])
    #expect(report.processes[1].totals.outstanding == Tally(bytes: 20, count: 1))
    var request = ReportRequest()
    request.includesEnded = true
    let whole = trace.report(request)
    #expect(whole.totals.outstanding == Tally(bytes: 30, count: 2))
    #expect(Set(whole.sites.map(\.processID)) == [7, 8])
  }

  /// A target that ended is shown: it is what was asked for.
  @Test func endedTargetsStay() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7, state: .exited)
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 10, count: 1))
    #expect(trace.report().totals.outstanding == Tally(bytes: 10, count: 1))
  }

  @Test func replacedImagesAreCountedApart() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    // Of the program before: its sites are about to be given back.
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 10, count: 1), generation: 0)
    trace.addSite(slot: slot, at: 2, allocated: Tally(bytes: 20, count: 1))
    trace.snapshot.replacedImages = [
      Report.ProcessTotals(
        processID: 7, command: "old", state: .replaced,
        totals: Report.Totals(outstanding: Tally(bytes: 10, count: 1), allocated: Tally(bytes: 10, count: 1)))
    ]
    let report = trace.report()
    #expect(report.totals.outstanding == Tally(bytes: 20, count: 1))
    #expect(report.processes.map(\.state) == [.replaced, .running])
    #expect(report.sites.map { $0.stack.addresses[0] } == [2])
  }

  @Test func threadsHaveSitesOfTheirOwn() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 10, count: 1), thread: 71)
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 20, count: 1), thread: 72)
    trace.snapshot.processes[0].threadNames = [72: "worker"]
    let sites = trace.report().sites
    #expect(sites.map(\.threadID) == [72, 71])
    #expect(sites.map(\.threadName) == ["worker", nil])
  }

  // MARK: Epochs

  /// Sites of one stack are one, in whatever epoch it was recorded, unless its code was exchanged.
  @Test(arguments: [false, true]) func sitesOfOneStackInTwoEpochs(codeChanged: Bool) {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 5, allocated: Tally(bytes: 10, count: 1), epoch: 1)
    trace.addSite(slot: slot, at: 5, allocated: Tally(bytes: 20, count: 1), epoch: 2)
    if codeChanged { trace.naming.changing = [5] }
    #expect(trace.report().sites.map(\.outstanding.bytes) == (codeChanged ? [20, 10] : [30]))
  }

  /// A library that was loaded again is at other addresses, but it is the same code.
  @Test func sitesOfCodeThatHasMoved() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 5, allocated: Tally(bytes: 10, count: 1), epoch: 1)
    trace.addSite(slot: slot, at: 105, allocated: Tally(bytes: 20, count: 1), epoch: 2)
    trace.addSite(slot: slot, at: 6, allocated: Tally(bytes: 40, count: 1), epoch: 2)
    #expect(trace.report().sites.map(\.outstanding.bytes) == [40, 20, 10])
    trace.naming.moved = [105: 5]
    #expect(trace.report().sites.map(\.outstanding.bytes) == [40, 30])
  }

  // MARK: Mappings

  @Test func mappingsCountByTheirRanges() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    let site = trace.addSite(slot: slot, at: 9)
    let time = 101 * SyntheticTrace.second
    trace.snapshot.processes[0].ledger.map(start: 0x10000, size: 0x4000, site: UInt32(site), time: time)
    trace.snapshot.processes[0].ledger.unmap(start: 0x11000, size: 0x1000)
    var request = ReportRequest()
    request.listsBlocks = true
    let report = trace.report(request)
    #expect(report.sites.map(\.allocationClass) == [.mapping])
    #expect(report.sites[0].allocator == "mmap")
    #expect(report.sites[0].outstanding == Tally(bytes: 0x3000, count: 1))
    #expect(report.sites[0].allocations.map(\.address) == [0x10000, 0x12000])
    #expect(report.totals.freed == Tally(bytes: 0x1000, count: 0))
  }

  // MARK: Verdicts

  private func checkedTrace() -> SyntheticTrace {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    let lost = trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 40, count: 3))
    let held = trace.addSite(slot: slot, at: 2, allocated: Tally(bytes: 500, count: 1))
    trace.addBlock(lost, at: 0x10, bytes: 10)
    trace.addBlock(lost, at: 0x20, bytes: 10)
    trace.addBlock(held, at: 0x30, bytes: 500)
    trace.snapshot.checks = [
      FakeCheck(
        processID: 7,
        verdicts: [
          0x10: BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 10, count: 1)),
          0x20: BlockVerdict(kind: .indirectlyLost),
          0x30: BlockVerdict(kind: .stillReachable, holder: "CPython arena"),
        ])
    ]
    return trace
  }

  @Test func verdictsAreTalliedBySiteAndProcess() {
    let report = checkedTrace().report()
    // What is lost comes first, however small; the third block of the site came after the check.
    #expect(report.sites.map { $0.stack.addresses[0] } == [1, 2])
    #expect(
      report.sites[0].verdicts == [
        .definitelyLost: Tally(bytes: 10, count: 1), .indirectlyLost: Tally(bytes: 10, count: 1),
        .unchecked: Tally(bytes: 20, count: 1),
      ])
    #expect(report.sites[0].keeps == Tally(bytes: 10, count: 1))
    #expect(report.sites[1].holders == ["CPython arena": Tally(bytes: 500, count: 1)])
    #expect(
      report.leakChecks.map(\.kinds) == [
        [
          .definitelyLost: Tally(bytes: 10, count: 1), .indirectlyLost: Tally(bytes: 10, count: 1),
          .unchecked: Tally(bytes: 20, count: 1), .stillReachable: Tally(bytes: 500, count: 1),
        ]
      ])
  }

  /// The process runs on while its tables are read, the sites first: what came or went between them and the blocks must not
  /// make one part of a report say another number than the next.
  @Test func verdictsAddUpToWhatIsOutstanding() {
    var trace = checkedTrace()
    let slot = trace.snapshot.processes[0].slot
    // Born after its site was read: the site's sum does not have it.
    trace.addBlock(1, at: 0x40, bytes: 70, bornAfter: 11)
    // As old as it is, its site's sum does not have it yet: it was being recorded.
    let churning = trace.addSite(slot: slot, at: 3, allocated: Tally(bytes: 30, count: 1))
    trace.addBlock(churning, at: 0x50, bytes: 30)
    trace.addBlock(churning, at: 0x60, bytes: 30)
    var request = ReportRequest()
    request.listsBlocks = true
    let report = trace.report(request)
    for site in report.sites {
      #expect(site.verdicts.values.reduce(into: Tally()) { $0 += $1 } == site.outstanding)
    }
    #expect(report.leakChecks[0].kinds.values.reduce(into: Tally()) { $0 += $1 } == report.totals.outstanding)
    #expect(report.totals.outstanding == Tally(bytes: 570, count: 5))
    #expect(!report.sites.flatMap(\.allocations).contains { $0.address == 0x40 })
  }

  /// What is kept holds everything, whatever is to be shown.
  @Test func recordingsHoldAllKinds() {
    var request = ReportRequest()
    request.selection.kinds = [.definitelyLost]
    let report = checkedTrace().report(request)
    #expect(report.sites.map { $0.stack.addresses[0] } == [1, 2])
    #expect(report.leftOutSites == 0 && report.beyondLimit == nil)
    let shown = report.selected(request.selection)
    #expect(shown.sites.map { $0.stack.addresses[0] } == [1])
    #expect(shown.leftOutSites == 1 && shown.leftOut == Tally(bytes: 500, count: 1))
    #expect(shown.totals == report.totals && shown.leakChecks == report.leakChecks)
  }

  /// Of what has been freed the stacks are kept where somebody will ask whether they ran.
  @Test func freedStacksAreKeptOnRequest() {
    var trace = SyntheticTrace()
    let slot = trace.addProcess(7)
    trace.addSite(slot: slot, at: 1, allocated: Tally(bytes: 40, count: 3))
    trace.addSite(slot: slot, at: 2, allocated: Tally(bytes: 40, count: 4), freed: Tally(bytes: 40, count: 4))
    #expect(trace.report().freedSites == nil)
    var request = ReportRequest()
    request.includesFreed = true
    let report = trace.report(request)
    #expect(report.sites.map { $0.stack.addresses[0] } == [1])
    #expect(report.freedSites?.map { $0.stack.addresses[0] } == [2])
    #expect(report.freedSites?.map(\.allocated.count) == [4])
  }

  @Test func otherKindsAreLeftOutAndCounted() {
    var request = ReportRequest()
    request.selection.kinds = [.definitelyLost]
    request.limit = 10
    let trace = checkedTrace()
    let report = trace.report(request)
    #expect(report.sites.map { $0.stack.addresses[0] } == [1])
    #expect(report.leftOutSites == 1)
    #expect(report.leftOut == Tally(bytes: 500, count: 1))
    // Nobody asked for the names of what is left out.
    #expect(trace.naming.namedStacks == 1)
    request.limit = 0
    let summary = trace.report(request)
    #expect(summary.sites.isEmpty && summary.leftOutSites == 1)
    #expect(summary.beyondLimit == Report.Omission(sites: 1, outstanding: Tally(bytes: 40, count: 3)))
    #expect(summary.leakChecks[0].kinds[.definitelyLost] == Tally(bytes: 10, count: 1))
  }

  /// A check of the program before exec says nothing of the one that runs now.
  @Test func checksOfOtherImagesDoNotCount() {
    var trace = checkedTrace()
    trace.snapshot.checks = [FakeCheck(processID: 7, generation: 0, verdicts: [:])]
    let report = trace.report()
    #expect(report.leakChecks.isEmpty)
    #expect(report.sites[0].verdicts == [.unchecked: Tally(bytes: 500, count: 1)])
  }

  // MARK: What is said beside

  @Test func notesAndLosses() {
    var trace = SyntheticTrace()
    trace.addProcess(7)
    trace.snapshot.notes = ["said before"]
    trace.snapshot.functionsThatMayNotThrow = ["_Znwm"]
    trace.snapshot.losses = [Report.LossCounter(name: "blocks_refused", description: "", value: 1)]
    trace.snapshot.walks.brokenStacks = [Report.LossCounter(name: "stacks_no_row", description: "", value: 2)]
    trace.snapshot.walks.framePointerSteps = 3
    trace.snapshot.walks.unsupportedRows = ["/lib/a": 1]
    let report = trace.report()
    #expect(report.loss.map(\.name) == ["blocks_refused", "stacks_no_row"])
    #expect(report.notes.count == 3)
    #expect(report.notes[0] == "said before")
    #expect(report.notes[1].hasPrefix("should _Znwm throw"))
    #expect(report.notes[2].hasPrefix("3 times a stack crossed code"))
    var request = ReportRequest()
    request.explainsStacks = true
    #expect(trace.report(request).notes.last?.hasSuffix("/lib/a (1 row)") == true)
    trace.snapshot.walks = WalkSummary(framePointerReason: "as asked")
    #expect(trace.report().notes.last?.hasPrefix("stacks follow frame pointers only, as asked") == true)
  }
}
