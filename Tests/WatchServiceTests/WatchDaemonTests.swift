import AllocationTracing
import Glibc
import HostCapabilities
import HostObservation
import Logging
import Scheduling
import Session
import Synchronization
import SystemSupport
import TestTools
import Testing
import Watch
import WatchService

/// A watch whose clock, host and tracers are a test's.
struct WatchDaemonTests {
  private let clock = FakeClock()
  private let host: FakeHost
  private let tracer: FakeTracer
  private let loop: EventLoop
  private let log = LogLines()
  private var configuration = WatchConfiguration()

  init() {
    host = FakeHost(clock: clock)
    tracer = FakeTracer(clock: clock)
    loop = EventLoop(clock: clock)
    configuration.listen = nil
  }

  private func daemon(
    loop: EventLoop? = nil, reload: @escaping () throws -> WatchConfiguration = { WatchConfiguration() }
  ) throws -> WatchDaemon {
    try WatchDaemon(
      configuration: configuration, version: "1",
      environment: WatchEnvironment(
        loop: loop ?? self.loop, host: host, tracer: tracer,
        costs: ProbeCosts(emulated: 850, stepped: 10_000, method: "multi"),
        log: Logger(label: "test", factory: { [log] _ in log })), reload: reload)
  }

  /// Runs a watch for so many seconds of its clock.
  private func watch(for seconds: Double) throws {
    loop.onTimer(due: clock.now + .seconds(seconds)) { [loop] _ in
      loop.end(99)
      return nil
    }
    #expect(try daemon().run() == 99)
  }

  /// Does something when the clock is there.
  private func at(_ seconds: Double, _ action: @escaping () -> Void) {
    loop.onTimer(due: clock.now + .seconds(seconds)) { _ in
      action()
      return nil
    }
  }

  // MARK: Looking

  @Test func theHostIsLookedAtInItsInterval() throws {
    try watch(for: 60)
    #expect(host.looks == [0, 10, 20, 30, 40, 50])
  }

  @Test func aWatchThatHasNothingToDoSleepsFromLookToLook() throws {
    try watch(for: 60)
    #expect(clock.waits == [0] + Array(repeating: 10, count: 6))
  }

  /// Half of the budget of 1 % pays for looks: 0.5 s of CPU time every 100 s.
  @Test func dearLooksAreTakenLessOften() throws {
    host.costOfLook = 0.5
    try watch(for: 301)
    #expect(host.looks == [0, 100, 200, 300])
    #expect(log.contains("a look at this host costs 500 ms: it is taken every 1 m 40 s"))
  }

  /// What a look costs goes up and down; a log that repeats it hides everything else.
  @Test func theCostOfLooksIsSaidOnce() throws {
    host.costOfLook = 0.06
    let host = host
    for second in stride(from: 15.0, to: 900, by: 10) {
      at(second) { host.costOfLook = host.costOfLook < 0.05 ? 0.06 : 0.04 }
    }
    try watch(for: 900)
    #expect(log.count(of: "a look at this host costs") <= 1)
  }

  @Test func aTargetThatNothingMatchesIsNamedOnce() throws {
    host.processes = [1: .init(command: "a")]
    var test = self
    test.configuration.targets = [.command("a"), .command("foo"), .unit("gone.service")]
    try test.watch(for: 700)
    #expect(log.count(of: "no process matches the target comm:foo so far") == 1)
    #expect(log.count(of: "no process matches the target unit:gone.service so far") == 1)
    #expect(log.count(of: "no process matches the target") == 2)
  }

  // MARK: Tracing

  /// Looks took half of the budget and traces needed more than the other half: none ever began. Two processes that change
  /// places in the order of their sizes began to wait anew at each look.
  @Test func targetsAreTracedWhereLooksAreDear() throws {
    host.processes = [1: .init(command: "a"), 2: .init(command: "b")]
    host.costOfLook = 0.02
    tracer.costOfAttaching = 2.8
    let host = host
    for second in stride(from: 1.0, to: 2000, by: 2) {
      at(second) {
        let isLarge = host.processes[1]?.bytes == 20 << 20
        host.processes[1]?.bytes = isLarge ? 1 << 20 : 20 << 20
      }
    }
    var test = self
    test.configuration.interval = 2
    test.configuration.budget = 0.02
    test.configuration.targets = [.command("a"), .command("b")]
    try test.watch(for: 2000)
    #expect(Set(tracer.traces.map(\.processID)) == [1, 2])
    #expect(tracer.traces.count >= 3)
  }

  @Test func whatGrowsIsTracedForAWhileAndThenLeftAlone() throws {
    host.processes = [1: .init(command: "leaking", growth: 1 << 20), 2: .init(command: "level")]
    try watch(for: 900)
    #expect(Set(tracer.traces.map(\.processID)) == [1])
    #expect(tracer.traces.count == 2)
    for trace in tracer.traces { #expect(abs(try #require(trace.length) - 20) < 0.001) }
    #expect(tracer.traces[1].started - tracer.traces[0].started >= 600)
    #expect(tracer.returns == 2)
  }

  @Test func withoutArmingOnlyTargetsAreTraced() throws {
    host.processes = [1: .init(command: "leaking", growth: 1 << 20), 2: .init(command: "level")]
    var test = self
    test.configuration.arms = false
    test.configuration.targets = [.command("level")]
    try test.watch(for: 300)
    #expect(tracer.traces.map(\.processID) == [2])
    #expect(tracer.faultAttempts.isEmpty)
  }

  @Test func targetsHaveTheirTurnsOneAfterTheOther() throws {
    host.processes = [1: .init(command: "a"), 2: .init(command: "b"), 3: .init(command: "c")]
    var test = self
    test.configuration.targets = [.command("a"), .process(2), .command("c")]
    test.configuration.budget = 0.5
    try test.watch(for: 700)
    #expect(tracer.traces.map(\.processID).prefix(3) == [1, 2, 3])
    for (earlier, later) in zip(tracer.traces, tracer.traces.dropFirst()) {
      #expect(try #require(earlier.ended) <= later.started)
    }
  }

  @Test func theFormOfATargetIsAUnitOrAGroup() throws {
    host.processes = [
      1: .init(command: "a", cgroup: "/system.slice/web.service"), 2: .init(command: "b", cgroup: "/box/inner"),
      3: .init(command: "c", cgroup: "/boxes"),
    ]
    var test = self
    test.configuration.targets = [.unit("web.service"), .cgroup("/box")]
    test.configuration.budget = 0.5
    try test.watch(for: 300)
    #expect(Set(tracer.traces.map(\.processID)) == [1, 2])
  }

  @Test func aTraceThatUsesUpTheBudgetEndsEarlyAndIsSampledMoreThinly() throws {
    host.processes = [1: .init(command: "busy")]
    tracer.hitsPerSecond = 2e6
    var test = self
    test.configuration.targets = [.command("busy")]
    test.configuration.traceEvery = 10
    try test.watch(for: 1200)
    let first = try #require(tracer.traces.first)
    #expect(try #require(first.length) < 5)
    #expect(first.sampleBytes == 512 << 10)
    #expect(tracer.traces.count >= 2)
    #expect(tracer.traces[1].sampleBytes == 2048 << 10)
    #expect(log.contains("ended early by the budget"))
    // Two million hits a second of 1 µs are two CPUs.
    let spent = tracer.traces.reduce(0) { $0 + ($1.length ?? 0) * 2 }
    #expect(spent <= 0.01 * 1200 * 1.2)
  }

  @Test func whatCanNeverBePaidForIsSaid() throws {
    host.processes = [1: .init(command: "dear")]
    tracer.costOfAttaching = 10
    var test = self
    test.configuration.targets = [.command("dear")]
    test.configuration.traceEvery = 10
    try test.watch(for: 3000)
    #expect(tracer.traces.count == 1)
    #expect(log.contains("probes are off: a trace of dear costs more than a budget of 1.0 % ever saves up"))
  }

  @Test func aProcessThatCannotBeTracedIsTriedAgainLater() throws {
    host.processes = [1: .init(command: "guarded")]
    tracer.refusesTraces = true
    var test = self
    test.configuration.targets = [.command("guarded")]
    try test.watch(for: 700)
    #expect(tracer.attempts.count == 2)
    #expect(tracer.attempts[1].time - tracer.attempts[0].time >= 600)
    #expect(log.contains("process 1 (guarded) cannot be traced: it may not be looked at"))
  }

  @Test func theTraceOfAProcessThatEndsIsFinished() throws {
    host.processes = [1: .init(command: "brief")]
    var test = self
    test.configuration.targets = [.command("brief")]
    let started = tracer
    at(120) { started.traces.last?.hasEnded = true }
    test.configuration.traceLength = 600
    try test.watch(for: 130)
    let trace = try #require(tracer.traces.first)
    #expect(trace.started < 120)
    #expect(trace.ended == 120)
  }

  // MARK: The OOM killer

  @Test func aVictimsTraceIsSavedAndItsSuccessorIsTraced() throws {
    host.processes = [7: .init(command: "web", cgroup: "/box")]
    var test = self
    test.configuration.targets = [.process(7)]
    test.configuration.traceLength = 600
    test.configuration.budget = 0.5
    let (host, tracer) = (host, tracer)
    at(60) {
      tracer.victims.tell(7, "web")
      host.processes[7] = nil
      host.processes[8] = .init(command: "web", cgroup: "/box")
    }
    try test.watch(for: 200)
    #expect(tracer.traces.map(\.processID) == [7, 8])
    #expect(tracer.traces[0].ended == 60)
    #expect(log.contains("oom: process 7 (web)"))
    #expect(log.contains("the OOM killer has marked it"))
    // At once, to keep the sizes of that moment.
    #expect(host.looks.contains(60))
  }

  // MARK: Alerts

  @Test func anAlertIsGivenOnceInItsTime() throws {
    host.processes = [1: .init(command: "leaking", growth: 1 << 20)]
    var test = self
    test.configuration.arms = false
    test.configuration.alertEvery = 600
    try test.watch(for: 1100)
    #expect(log.count("growth: process 1 (leaking)") == 2)
  }

  @Test func aGroupNearItsLimitGivesAnAlertAndATrace() throws {
    host.processes = [
      1: .init(command: "small", bytes: 1 << 20, cgroup: "/box"), 2: .init(command: "big", cgroup: "/box"),
    ]
    var group = CgroupMemory(path: "/box", usage: 95 << 20)
    group.unreclaimable = 95 << 20
    group.limit = 100 << 20
    host.cgroups = [group]
    try watch(for: 120)
    #expect(log.contains("limit: cgroup /box"))
    #expect(tracer.traces.first?.processID == 2)
  }

  @Test func theCommandOfAnAlertGetsItAsJSON() throws {
    let directory = try TemporaryDirectory()
    host.processes = [1: .init(command: "leaking", growth: 1 << 20)]
    var test = self
    test.configuration.arms = false
    test.configuration.onAlert =
      "cat > \(directory.file("alert")).new && mv \(directory.file("alert")).new \(directory.file("alert"))"
    // The clock stands still while the command runs: else it would be killed after half a minute of it.
    loop.onTurn { [log] in
      guard log.contains("growth: process 1") else { return }
      _ = eventually { !contents(of: directory.file("alert")).isEmpty }
    }
    try test.watch(for: 300)
    let alert = String(decoding: contents(of: directory.file("alert")), as: UTF8.self)
    #expect(alert.contains("\"schema\":\"leaktrace.alert/1\""))
    #expect(alert.contains("\"command\":\"leaking\""))
  }

  // MARK: Keeping

  @Test func tracesAndSizesAreKept() throws {
    let directory = try TemporaryDirectory()
    host.processes = [1: .init(command: "server")]
    var test = self
    test.configuration.targets = [.command("server")]
    test.configuration.history = directory.file("history.db")
    try test.watch(for: 300)
    #expect(tracer.traces.count == 1)
    let reports = try HistoryReading(path: directory.file("history.db"))
      .reports(in: clock.unixSeconds - 300...clock.unixSeconds, target: "server")
    #expect(reports.map(\.target.processID) == [1])
    #expect(reports.first?.target.executable == "/bin/program")
  }

  // MARK: Signals

  /// Runs a watch that gets a signal at a time.
  private func watch(_ signals: [(Int32, at: Double)], _ body: (EventLoop) throws -> Void) throws {
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let loop = EventLoop(signals: [SIGINT, SIGTERM, SIGHUP], clock: clock)
    for (signal, time) in signals {
      loop.onTimer(due: clock.now + .seconds(time)) { _ in
        raise(signal)
        return nil
      }
    }
    try body(loop)
  }

  @Test(arguments: [(SIGTERM, Int32(0)), (SIGINT, Int32(130))]) func aSignalEndsAWatchInAnOrderlyWay(
    signal: Int32, code: Int32
  ) throws {
    host.processes = [1: .init(command: "server")]
    var test = self
    test.configuration.targets = [.command("server")]
    test.configuration.traceLength = 600
    try watch([(signal, at: 200)]) { loop in
      let ended = try test.daemon(loop: loop).run()
      #expect(ended == code)
    }
    #expect(tracer.traces.map(\.ended) == [200])
    #expect(log.contains("ended: 0.0 % of one CPU used, budget 1.0 %, 1 trace"))
  }

  @Test func theConfigurationIsReadAgain() throws {
    try watch([(SIGHUP, at: 35), (SIGTERM, at: 70)]) { loop in
      var new = configuration
      new.interval = 5
      _ = try daemon(loop: loop, reload: { new }).run()
    }
    #expect(host.looks == [0, 10, 20, 30, 40, 45, 50, 55, 60, 65])
    #expect(log.contains("the configuration was read again"))
  }

  @Test func aConfigurationWithAMistakeIsNotTakenOver() throws {
    try watch([(SIGHUP, at: 15), (SIGTERM, at: 30)]) { loop in
      _ = try daemon(loop: loop, reload: { throw Refusal("line 3: budget: no share") }).run()
    }
    #expect(host.looks == [0, 10, 20])
    #expect(log.contains("the configuration is not taken over: line 3: budget: no share"))
  }
}

/// What a watch has logged.
final class LogLines: LogHandler, Sendable {
  private let lines = Mutex<[String]>([])

  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  /// How many lines hold a text.
  func count(of text: String) -> Int { lines.withLock { $0.count { $0.contains(text) } } }

  func log(event: LogEvent) { lines.withLock { $0.append(event.message.description) } }

  func contains(_ text: String) -> Bool { count(text) > 0 }

  func count(_ text: String) -> Int { lines.withLock { $0.count { $0.contains(text) } } }
}
