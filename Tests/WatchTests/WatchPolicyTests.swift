import HostObservation
import TestTools
import Testing
import Watch

@Suite struct WatchPolicyTests {
  /// Traces of a target that costs more than the budget, whenever there is credit: the duty cycle holds the budget.
  @Test(arguments: [0.005, 0.01, 0.05])
  func holdsTheBudgetWhateverATargetCosts(_ share: Double) {
    var budget = OverheadBudget(share: share, time: 0)
    var isOn = false
    var onSeconds = 0.0
    for step in 1...200_000 {
      // 100 ms a step; probes cost 0.8 of a CPU while they are on, attaching 0.2 s, the rest 0.1 %.
      let attach = !isOn && budget.canAfford(0.4)
      if attach { isOn = true }
      budget.spend(byUs: 0.0001 + (attach ? 0.2 : 0), byProbes: isOn ? 0.08 : 0, at: Double(step) / 10)
      if isOn { onSeconds += 0.1 }
      if budget.isExhausted(reserve: 0) { isOn = false }
    }
    #expect(budget.wholeShare > 0.8 * share && budget.wholeShare < 1.2 * share)
    #expect(budget.recentShare < 1.2 * share)
    #expect(onSeconds > 0)
  }

  /// What a quiet time has saved up does not make a loud one dearer than the budget.
  @Test(arguments: [0.01, 0.05])
  func holdsTheBudgetWhenAStormFollowsACalm(_ share: Double) {
    var budget = OverheadBudget(share: share, time: 0)
    var (isOn, traces, greatest) = (false, 0, 0.0)
    for step in 1...60_000 {
      let time = Double(step) / 10
      let isStorm = Int(time / 400) % 2 == 1
      let attach = !isOn && isStorm && budget.canAfford(0.7)
      if attach { (isOn, traces) = (true, traces + 1) }
      budget.spend(byUs: 0.0001 + (attach ? 0.6 : 0), byProbes: isOn ? 0.05 : 0, at: time)
      if isOn, !isStorm || budget.isExhausted(reserve: 0.1) { isOn = false }
      if time > OverheadBudget.span { greatest = max(greatest, budget.recentShare) }
    }
    #expect(traces >= 8)
    #expect(greatest <= 1.2 * share, "\(greatest)")
    #expect(greatest > 0.8 * share)
  }

  @Test func knowsWhatCanNeverBeAfforded() {
    let budget = OverheadBudget(share: 0.001, time: 0)
    #expect(budget.canEverAfford(0.2))
    #expect(!budget.canEverAfford(0.5))
  }

  @Test func samplesThinlierWhenATraceEndsEarly() {
    var cost = TargetCost(sampleBytes: 512 << 10)
    cost.learn(hits: 1000, cpuSeconds: 0.5, seconds: 2, endedEarly: true)
    #expect(cost.sampleBytes == 2 << 20)
    #expect(cost.hitsPerSecond == 500)
    #expect(cost.cpus == 0.25)
    for _ in 0..<9 { cost.learn(hits: 1, cpuSeconds: 1, seconds: 1, endedEarly: true) }
    #expect(cost.sampleBytes == 64 << 20)
  }

  private func group(_ path: String, unreclaimable: UInt64, limit: UInt64?, kills: UInt64) -> CgroupMemory {
    var group = CgroupMemory(path: path, usage: unreclaimable)
    group.unreclaimable = unreclaimable
    group.limit = limit
    group.oomKills = kills
    return group
  }

  @Test func tellsOfGroupsNearTheirLimitAndOfVictims() {
    var policy = AlertPolicy(every: 100, growthThreshold: 1e9, forecastThreshold: 3600)
    let ranking = GrowthRanking(HostObserver(interval: 1, lookback: 60))
    let first = policy.alerts(
      ranking,
      cgroups: [
        group("/a", unreclaimable: 95, limit: 100, kills: 3), group("/b", unreclaimable: 50, limit: 100, kills: 0),
      ])
    #expect(first.map(\.name) == ["/a"])
    #expect(first.map(\.reason) == [.limit])
    let allowed = [0.0, 99, 100].map { policy.allows(first[0], at: $0) }
    #expect(allowed == [true, false, true])
    let second = policy.alerts(
      ranking,
      cgroups: [
        group("/a", unreclaimable: 10, limit: 100, kills: 4), group("/c", unreclaimable: 10, limit: nil, kills: 1),
      ])
    #expect(second.map(\.reason) == [.oom, .oom])
    #expect(second.map(\.name) == ["/a", "/c"])
    var given = 0
    for number in 0..<100 where policy.allows(Alert(reason: .growth, kind: "process", name: "\(number)"), at: 200) {
      given += 1
    }
    #expect(given == AlertPolicy.mostPerHour - 2)
    #expect(policy.suppressed == 72)
  }

  /// What was told of when it happened is not told of again by the counters, neither of the group nor of those around it.
  @Test func countersAreNoNewsOfVictimsThatWereSeen() {
    var policy = AlertPolicy(every: 100, growthThreshold: 1e9, forecastThreshold: 3600)
    let ranking = GrowthRanking(HostObserver(interval: 1, lookback: 60))
    func groups(_ kills: UInt64) -> [CgroupMemory] {
      ["/", "/a", "/a/b", "/ab"].map { group($0, unreclaimable: 1, limit: nil, kills: kills) }
    }
    #expect(policy.alerts(ranking, cgroups: groups(1)).isEmpty)
    #expect(policy.alerts(ranking, cgroups: groups(2), toldOf: ["/a/b"]).map(\.name) == ["/ab"])
    #expect(policy.alerts(ranking, cgroups: groups(2)).isEmpty)
    #expect(policy.alerts(ranking, cgroups: groups(3)).map(\.name) == ["/", "/a", "/a/b", "/ab"])
  }

  @Test func writesAlertsWithWhatHoldsTheMemory() {
    var alert = Alert(reason: .oom, kind: "process", name: "42", command: "worker", bytes: 7)
    alert.cgroup = "/a"
    alert.members = [
      .init(processID: 42, command: "worker", bytes: 7), .init(processID: 43, command: "b\"c", bytes: 1),
    ]
    alert.growingAt = ["f ← main, 90 %"]
    #expect(
      String(decoding: alert.json(time: 1_700_000_000, host: "h"), as: UTF8.self)
        == #"{"schema":"leaktrace.alert/1","time":"2023-11-14T22:13:20.000Z","host":"h","reason":"oom","kind":"process","#
        + #""name":"42","command":"worker","bytes":7,"bytes_per_hour":0.0,"seconds_to_limit":null,"limit":null,"#
        + #""next_command":null,"mitigation":null,"cgroup":"/a","processes":[{"pid":42,"command":"worker","bytes":7},"#
        + #"{"pid":43,"command":"b\"c","bytes":1}],"growing_at":["f ← main, 90 %"]}"# + "\n")
  }

  @Test func writesMetricsThatPrometheusTakes() throws {
    var status = WatchStatus(version: "1.2.3")
    var series = RankedSeries(
      key: .process(42, startTimeInTicks: 1), judgement: TrendJudgement(([], [])), bytes: 5, kinds: [])
    series.command = "a\"b\\c\nd\u{1b}"
    status.series = [series]
    status.loss = ["full_table": 3]
    status.historyBytes = 100
    status.pushes = [
      .init(
        service: "parca", profiles: 3, bytes: 900, retries: 1, waiting: 2, failures: [("refused", 4), ("timeout", 0)])
    ]
    status.faultSites = [.init(target: "worker", function: "grow", module: "worker", bytesPerSecond: 4096)]
    status.oomVictims = 2
    let metrics = status.metrics
    #expect(metrics.hasSuffix("# EOF\n"))
    #expect(
      metrics.contains(
        #"leaktrace_series_size_bytes{kind="process",name="42",command="a\"b\\c\nd?",owner=""} 5"#))
    #expect(metrics.contains("leaktrace_loss_total{cause=\"full_table\"} 3\n"))
    #expect(metrics.contains("leaktrace_push_profiles_total{to=\"parca\"} 3\n"))
    #expect(metrics.contains("leaktrace_push_sent_bytes_total{to=\"parca\"} 900\n"))
    #expect(metrics.contains("leaktrace_push_failures_total{to=\"parca\",cause=\"refused\"} 4\n"))
    #expect(
      metrics.contains(
        "leaktrace_fault_site_bytes_per_second{target=\"worker\",function=\"grow\",module=\"worker\"} 4096\n"))
    #expect(metrics.contains("leaktrace_oom_victims_total 2\n"))
    #expect(metrics.contains("leaktrace_build_info{version=\"1.2.3\"} 1\n"))
    guard findTool("promtool") != nil else {
      print("skipped: prometheus is not installed")
      return
    }
    let tool = try RunningProgram(["promtool", "check", "metrics"], capturesErrors: true)
    // promtool reads the older format, in which a counter is named with its suffix and info metrics are unknown.
    var older = ""
    for line in metrics.split(separator: "\n") where !line.hasPrefix("# EOF") && !line.hasPrefix("# UNIT") {
      var line = String(line)
      if line.hasPrefix("# TYPE"), line.hasSuffix(" info") { line = "# TYPE leaktrace_build_info gauge" }
      if line.hasPrefix("# HELP leaktrace_build ") { line = "# HELP leaktrace_build_info The version." }
      older += line + "\n"
    }
    let counters = metrics.split(separator: "\n").filter { $0.hasSuffix(" counter") }.map {
      $0.split(separator: " ")[2]
    }
    for name in counters {
      older = older.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        for word in ["# TYPE", "# HELP"] where line.hasPrefix("\(word) \(name) ") {
          return "\(word) \(name)_total" + line.dropFirst("\(word) \(name)".count)
        }
        return String(line)
      }.joined(separator: "\n")
    }
    tool.send(older)
    tool.closeInput()
    let errors = tool.readErrors(timeout: patience)
    #expect(tool.wait() == 0, "\(errors)")
    #expect(errors.isEmpty)
  }
}
