import ReportAnalysis
import Testing
import TraceModel

/// Pairs of recordings whose answer is known. None may be answered wrongly, and what they do not tell is not answered.
@Suite struct VerifyTests {
  private typealias Run = RecordedRun

  private func compare(
    _ before: RecordedRun, _ after: RecordedRun, _ change: (inout ReportComparison) -> Void = { _ in }
  ) -> Comparison {
    var comparison = ReportComparison()
    change(&comparison)
    return comparison.compare(before.report, after.report)
  }

  private func verdict(of name: String, in comparison: Comparison) -> Comparison.Verdict? {
    comparison.sites.first { $0.frames.contains { $0.function == name } }?.verdict
  }

  private let leaky = RecordedRun(stacks: [Run.work(), Run.leak(), Run.leak("other", of: 500, lost: 500)])
  private let clean = RecordedRun(stacks: [Run.work(), Run.leak(lost: 0), Run.leak("other", of: 500, lost: 0)])

  // MARK: Answers

  @Test func same() {
    let result = compare(leaky, leaky)
    #expect(result.answer == .leaking)
    #expect(result.sites.map(\.verdict) == [.unchanged, .unchanged])
  }

  @Test func fixed() {
    let result = compare(leaky, clean)
    #expect(result.answer == .nothingLeaks)
    #expect(result.sites.map(\.verdict) == [.fixed, .fixed])
  }

  /// What leaked may have moved to where nothing is traced.
  @Test func fixedButGrowing() {
    var after = clean.report
    after.unexplained = [
      UnexplainedGrowth(
        processID: 1, bytes: 68 << 20, parts: [UnexplainedGrowth.Part(kind: .anonymous, bytes: 68 << 20)])
    ]
    let result = ReportComparison().compare(leaky.report, after)
    #expect(result.answer == .cannotTell)
    #expect(result.doubts == ["AFTER grew by 68.0 MiB, unexplained: anonymous memory"])
  }

  @Test func partlyFixed() {
    var after = leaky
    after.stacks[1].lost = 0
    let result = compare(leaky, after)
    #expect(result.answer == .leaking)
    #expect(verdict(of: "parse", in: result) == .fixed && verdict(of: "other", in: result) == .unchanged)
  }

  @Test func worse() {
    var after = leaky
    after.stacks[1].lost = 5000
    #expect(verdict(of: "parse", in: compare(leaky, after)) == .worse)
  }

  @Test func newLeak() {
    let result = compare(clean, leaky)
    #expect(result.answer == .leaking)
    #expect(verdict(of: "parse", in: result) == .new)
  }

  @Test func nothingLeaksInEither() { #expect(compare(clean, clean).answer == .nothingLeaks) }

  @Test func restarted() {
    var after = clean
    after.stacks[1].names = ["parse", "serve", "main"]
    after.stacks.append(Run.Stack(names: ["setup", "main"], allocated: 20, held: 20, growth: .startup))
    #expect(compare(leaky, after).answer == .nothingLeaks)
  }

  @Test func growingCacheFixed() {
    let before = RecordedRun(stacks: [
      Run.work(), Run.Stack(names: ["remember", "main"], allocated: 4000, held: 4000, growth: .growing, slope: 6600),
    ])
    let after = RecordedRun(stacks: [
      Run.work(), Run.Stack(names: ["remember", "main"], allocated: 4000, held: 100, growth: .plateau),
    ])
    #expect(compare(before, after).answer == .nothingLeaks)
    let unchanged = compare(before, before)
    #expect(unchanged.answer == .leaking && verdict(of: "remember", in: unchanged) == .unchanged)
  }

  @Test func rebuiltOnOtherLines() {
    var after = leaky
    (after.buildID, after.executable) = ("bb22", "/opt/app-2/server")
    for index in after.stacks.indices { after.stacks[index].line = 99 }
    let result = compare(leaky, after)
    #expect(result.sites.allSatisfy { $0.verdict == .unchanged })
    #expect(result.notes.contains { $0.contains("another build") })
  }

  /// A function is inlined without a trace, and another library asks for the memory now.
  @Test func rebuiltWithOtherFrames() {
    var after = clean
    after.buildID = "bb22"
    after.stacks[1].names = ["make_unique", "parse", "serve", "main"]
    after.stacks[1].allocator = "operator new"
    after.stacks[2].names = ["serve", "main"]
    let result = compare(leaky, after)
    #expect(result.answer == .nothingLeaks, "\(result.sites.map(\.reason))")
    after.stacks[1].lost = 1000
    #expect(verdict(of: "parse", in: compare(leaky, after)) == .unchanged)
  }

  /// Where one stack of AFTER may be any of several of BEFORE, which one it is taken for is the same in every run, whatever seed
  /// hashes have.
  @Test func pairsInTheOrderOfNames() {
    var (before, after) = (RecordedRun(stacks: [Run.work()]), RecordedRun(stacks: [Run.work()]))
    after.buildID = "bb22"
    for number in 0..<12 {
      let shared = ["leaf\(number)", "serve\(number)", "main"]
      for name in ["a", "b"] {
        before.stacks.append(Run.Stack(names: [shared[0], name, shared[1], "main"], allocated: 1000, lost: 1000))
      }
      after.stacks.append(Run.Stack(names: [shared[0], "a", "b", shared[1], "main"], allocated: 2000, lost: 2000))
    }
    let result = compare(before, after) { $0.acceptsGone = true }
    for number in 0..<12 {
      let own = result.sites.filter { $0.frames.contains { $0.function == "leaf\(number)" } }
      #expect(own.map(\.verdict) == [.worse, .fixed])
      #expect(own.last?.frames.map(\.function) == ["leaf\(number)", "b", "serve\(number)", "main"])
    }
    // Nor is the order in which stacks are listed left to chance.
    let again = compare(before, after) { $0.acceptsGone = true }
    #expect(result.sites.map { $0.frames.map(\.function) } == again.sites.map { $0.frames.map(\.function) })
  }

  /// Comparing each stack of one recording with each of the other would take hours.
  @Test(.timeLimit(.minutes(5))) func manyStacksWithoutAnEqual() {
    var (before, after) = (RecordedRun(stacks: [Run.work()]), RecordedRun(stacks: [Run.work()]))
    after.buildID = "bb22"
    let count = 20_000
    for number in 0..<count {
      before.stacks.append(
        Run.Stack(names: ["take", "b\(number)", "serve", "main"], allocated: 100, lost: 100))
      after.stacks.append(
        Run.Stack(names: ["take", "wrap", "b\(number)", "serve", "main"], allocated: 100, lost: 100))
    }
    let result = compare(before, after)
    #expect(result.sites.count == count && result.sites.allSatisfy { $0.verdict == .unchanged })
  }

  /// One function allocates in several lines and frees at the next call.
  @Test func churnOnly() {
    var (before, after) = (RecordedRun(isChecked: false), RecordedRun(isChecked: false))
    let churn = Run.Stack(names: ["churn", "main"], allocated: 3000, held: 1, growth: .unclear)
    before.stacks = [Run.work(), churn]
    after.stacks = [Run.work(), churn, churn, churn]
    #expect(compare(before, after).answer == .nothingLeaks)
  }

  // MARK: The load

  /// The leak is there, and a tenth of the load passes: it is not improved.
  @Test func lessLoad() {
    let after = RecordedRun(stacks: [
      Run.work(10_000), Run.leak(of: 1000, lost: 100), Run.leak("other", of: 50, lost: 50),
    ])
    let result = compare(leaky, after)
    #expect(result.answer == .leaking)
    #expect(result.sites.map(\.verdict) == [.unchanged, .unchanged])
  }

  @Test func tooFewToTell() {
    let after = RecordedRun(stacks: [
      Run.work(10_000), Run.leak(of: 20, lost: 0), Run.leak("other", of: 500, lost: 0),
    ])
    let result = compare(leaky, after)
    #expect(result.answer == .cannotTell)
    #expect(verdict(of: "parse", in: result) == .unclear && verdict(of: "other", in: result) == .fixed)
  }

  @Test func notExercised() {
    let after = RecordedRun(stacks: [Run.work(), Run.leak(lost: 0)])
    let result = compare(leaky, after)
    #expect(result.answer == .cannotTell)
    #expect(verdict(of: "other", in: result) == .unclear)
    #expect(compare(leaky, after) { $0.acceptsGone = true }.answer == .nothingLeaks)
  }

  @Test func idle() {
    let result = compare(leaky, RecordedRun(stacks: [Run.work(5)]))
    #expect(result.answer == .cannotTell)
    #expect(result.doubts.contains { $0.hasPrefix("AFTER did too little") })
    #expect(compare(leaky, RecordedRun()).answer == .cannotTell)
    #expect(compare(RecordedRun(), clean).doubts.contains { $0.hasPrefix("BEFORE did too little") })
  }

  @Test func shorter() {
    var after = clean
    after.seconds = 5
    #expect(compare(leaky, after).answer == .cannotTell)
    // What leaks in a short time leaks.
    var short = leaky
    short.seconds = 5
    #expect(compare(leaky, short).answer == .leaking)
    // Whole runs of a command may be quicker for the fix.
    var (whole, quick) = (leaky, clean)
    (whole.kind, whole.exitStatus, quick.kind, quick.exitStatus, quick.seconds) = (.command, 0, .command, 0, 2)
    #expect(compare(whole, quick).answer == .nothingLeaks)
  }

  @Test func work() {
    #expect(verdict(of: "parse", in: compare(leaky, leaky) { $0.work = (1000, 10_000) }) == .improved)
    #expect(verdict(of: "parse", in: compare(leaky, leaky) { $0.work = (1000, 100) }) == .worse)
  }

  @Test func threshold() {
    #expect(compare(leaky, leaky) { $0.threshold = 1_000_000 }.answer == .nothingLeaks)
    #expect(compare(leaky, leaky) { $0.threshold = 10 }.answer == .leaking)
  }

  @Test func sampled() {
    var (before, after) = (leaky, clean)
    (before.isChecked, after.isChecked, before.sampleMean, after.sampleMean) = (false, false, 1000, 1000)
    #expect(compare(before, after).answer == .nothingLeaks)
    // One sample in a megabyte has seen nothing of a leak of 50 kB.
    (before.sampleMean, after.sampleMean) = (1 << 20, 1 << 20)
    #expect(compare(before, after).answer == .cannotTell)
  }

  // MARK: Other programs

  @Test func otherPrograms() {
    var other = clean
    (other.executable, other.buildID, other.command) = ("/usr/bin/sleep", "cc33", "sleep 100")
    let result = compare(leaky, other)
    #expect(result.answer == .cannotTell && result.sites.isEmpty)
    #expect(result.refusals == ["BEFORE is of /opt/app/server, AFTER of /usr/bin/sleep"])
    #expect(compare(leaky, other) { $0.isForced = true }.refusals.isEmpty)
    var kernel = clean
    kernel.kind = .kernel
    #expect(compare(leaky, kernel).answer == .cannotTell)
    var jemalloc = clean
    jemalloc.allocator = "jemalloc"
    #expect(compare(leaky, jemalloc).answer == .cannotTell)
  }

  @Test func scripts() {
    func python(_ run: RecordedRun, _ command: String) -> RecordedRun {
      var run = run
      (run.executable, run.command) = ("/usr/bin/python3.13", command)
      return run
    }
    let before = python(leaky, "python3 /srv/a.py --port 1")
    #expect(compare(before, python(clean, "/usr/bin/python3 b.py")).answer == .cannotTell)
    #expect(compare(before, python(clean, "python3.13 ./a.py --port 2")).answer == .nothingLeaks)
  }

  @Test func otherOptions() {
    var after = clean.report
    after.settings?.minimumSizeInBytes = 4096
    #expect(ReportComparison().compare(leaky.report, after).answer == .cannotTell)
  }

  // MARK: What is not known

  @Test func incomplete() {
    var after = clean
    after.loss = ["blocks_refused": 7]
    let result = compare(leaky, after)
    #expect(result.answer == .cannotTell)
    #expect(result.sites.allSatisfy { $0.verdict == .unclear && !$0.isLeaking })
    #expect(compare(after, clean).answer == .cannotTell)
    // A stack that broke off is counted with its blocks.
    after.loss = ["stacks_no_row": 7]
    #expect(compare(leaky, after).answer == .nothingLeaks)
  }

  @Test(arguments: [false, true]) func uncheckedOrPossiblyLost(isPossible: Bool) {
    var after = clean
    after.stacks[1].possible = isPossible ? 900 : 0
    after.stacks[1].unchecked = isPossible ? 0 : 900
    let result = compare(leaky, after)
    #expect(result.answer == .cannotTell)
    #expect(verdict(of: "parse", in: result) == .unclear)
    #expect(result.notes.contains { $0.contains(isPossible ? "possibly lost in AFTER" : "unchecked in AFTER") })
  }

  /// What was lost is held now: whether it grows has to be known.
  @Test func heldInstead() {
    var after = clean
    after.stacks[1].held = 1000
    #expect(compare(leaky, after).answer == .cannotTell)
    after.stacks[1].growth = .plateau
    #expect(compare(leaky, after).answer == .nothingLeaks)
    (after.stacks[1].growth, after.stacks[1].slope) = (.growing, 1600)
    #expect(compare(leaky, after).answer == .leaking)
  }

  @Test func notChecked() {
    var after = clean
    after.isChecked = false
    #expect(compare(leaky, after).answer == .cannotTell)
    // Neither checks nor time to see growth.
    let held = RecordedRun(seconds: 2, isChecked: false, stacks: [Run.Stack(names: ["a"], allocated: 1000, held: 1000)])
    let result = compare(held, held)
    #expect(result.measure == .outstanding && result.answer == .cannotTell)
  }

  @Test func namelessFramesOfAnotherBuild() {
    var (before, after) = (leaky, leaky)
    for index in before.stacks.indices {
      before.stacks[index].isNameless = true
      after.stacks[index].isNameless = true
    }
    after.buildID = "bb22"
    let result = compare(before, after)
    #expect(result.answer == .leaking)
    #expect(!result.sites.contains { [.new, .fixed].contains($0.verdict) }, "\(result.sites.map(\.verdict))")
  }
}
