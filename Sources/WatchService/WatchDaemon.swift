import AllocationTracing
import CProcessControl
import Glibc
import History
import HostCapabilities
import HostObservation
import Logging
import Quantities
import ReportFormats
import Scheduling
import Session
import SystemSupport
import TraceModel
import Watch
import WatchServer

/// The main loop of a watch. Everything runs in one thread, except for the HTTP server, which gets copies.
package final class WatchDaemon {
  var configuration: WatchConfiguration
  /// Reads the configuration again. Throws an error that is meant for the user.
  let reload: () throws -> WatchConfiguration
  let version: String
  private let loop: EventLoop
  let host: any WatchedHost
  let tracer: any WatchTracer
  let costs: ProbeCosts
  let log: Logger
  private let nextLook = EventLoop.Timer()
  /// An event descriptor that the server's thread writes to when somebody asks for a profile.
  let wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
  var server: WatchServer?
  var history: HistoryStore?
  var observer: HostObserver
  var ranking: GrowthRanking
  var status: WatchStatus
  var budget: OverheadBudget
  var alerts: AlertPolicy
  private let alertQueue: AlertQueue
  private var lastOwnSeconds = 0.0
  private var lastTrim = 0.0
  var lastKept = -1e9
  private var trouble: String?
  // What is being traced, and what was learnt from traces.
  var armed: ArmedTrace?
  /// The control group of the traced process. It is noted when the trace begins, because at the end it may be too late
  /// to ask.
  var armedGroup: String?
  /// Whether a trace has ended whose memory has not been given back yet.
  var hasMemoryToReturn = false
  /// Since when processes wait that were next and could not be paid for.
  var waiting: [Int32: Double] = [:]
  /// Targets that no process has matched so far.
  var unmatchedTargets: Set<WatchTarget> = []
  private var targetsAreToldAt: Double?
  /// The interval between looks that was told of last.
  private var toldLookInterval = 0.0
  var profileRequest: WatchServer.ProfileRequest?
  var waitingProfiles: [WatchServer.ProfileRequest] = []
  var pushers: [Pusher] = []
  var targetCosts: [String: TargetCost] = [:]
  var lastTraced: [Int32: Double] = [:]
  var sitesByTarget: [String: [WatchStatus.Site]] = [:]
  var nextSession: Int64
  var cgroupsInTrouble: Set<String> = []
  // Sampling of page faults: where the growing processes touch new pages.
  var faults: (any FaultSampling)?
  var lastFaulted: [Int32: Double] = [:]
  var faultSecondsCharged = 0.0
  var faultSitesByTarget: [String: [WatchStatus.FaultSite]] = [:]
  var growingAt: [Int32: [String]] = [:]
  // The OOM killer's victims, if the kernel tells of them.
  var victims: (any VictimSource)?
  /// Control groups whose victims have been reported since the last look; and commands whose processes are to be traced
  /// when they run again, with the time of the victim.
  var groupsOfVictims: Set<String> = []
  var commandsOfVictims: [String: Double] = [:]

  /// How often the history is trimmed at most, in seconds.
  private static let secondsPerTrim = 600.0

  package init(
    configuration: WatchConfiguration, version: String, environment: WatchEnvironment,
    reload: @escaping () throws -> WatchConfiguration
  ) throws {
    self.configuration = configuration
    self.version = version
    self.reload = reload
    loop = environment.loop
    host = environment.host
    tracer = environment.tracer
    costs = environment.costs
    log = environment.log
    let clock = loop.clock
    alertQueue = AlertQueue(clock: clock)
    nextSession = Int64(clock.unixSeconds * 1000)
    observer = HostObserver(
      interval: configuration.interval, lookback: configuration.lookback, ownProcessID: getpid())
    ranking = GrowthRanking(observer)
    status = WatchStatus(version: version)
    status.startInUnixSeconds = clock.unixSeconds
    alerts = AlertPolicy(
      every: configuration.alertEvery, growthThreshold: configuration.growthThreshold,
      forecastThreshold: configuration.forecastThreshold)
    status.emulatedNanoseconds = costs.emulated
    status.steppedNanoseconds = costs.stepped
    // Starting, including the calibration of probe costs, happens once, and is not charged to the budget of the watch.
    budget = OverheadBudget(share: configuration.budget, time: clock.monotonicSeconds)
    lastOwnSeconds = clock.processSeconds
    try checkAlertCommand()
    try openHistory()
    try startServer()
    try startPushing()
    watchVictims()
  }

  var clock: any HostClock { loop.clock }

  // MARK: The loop

  /// Returns the exit code.
  package func run() throws -> Int32 {
    log.info(
      "watching: budget \(percentText(configuration.budget, decimals: 2)) of one CPU, a probe's hit costs \(groupedWholeNumber(costs.emulated)) ns here"
    )
    ServiceManager.notify("READY=1\nSTATUS=watching")
    prepareLoop()
    loop.startHearing()
    return try loop.run()
  }

  /// Registers the steps of a turn, in the order in which they are taken.
  private func prepareLoop() {
    loop.onTurn { [unowned self] in server?.turnBegins() }
    loop.onSignal { [unowned self] signal in
      if signal == SIGHUP { return reloadConfiguration() }
      stop()
      loop.end(signal == SIGINT ? Failure.interrupted : 0)
    }
    loop.onReadable(wakeDescriptor) { [wakeDescriptor] in
      var count: UInt64 = 0
      read(wakeDescriptor, &count, 8)
    }
    loop.onTurn(
      watching: { [unowned self] in victims.map { [$0.pollDescriptor] } ?? [] },
      take: { [unowned self] in
        takeProfileRequests()
        reapAlerts()
        // This comes before the step that notices the end of a traced victim, so that its trace is saved with the right
        // reason.
        if takeVictims() { nextLook.due = clock.now }
      })
    var nextCharge = clock.now
    loop.onTurn(
      watching: { [unowned self] in armed?.pollDescriptors ?? [] },
      until: { [unowned self] in armed.map { min(nextCharge, $0.end) } },
      take: { [unowned self] in
        armed?.handleEvents()
        if clock.now >= nextCharge {
          charge()
          nextCharge = clock.now + .milliseconds(200)
        }
        endTraceIfDue()
      })
    loop.onTurn(
      watching: { [unowned self] in faults?.pollDescriptors ?? [] }, until: { [unowned self] in faults?.end },
      take: { [unowned self] in
        handleFaults()
        // The tables and names of a large program can take a hundred megabytes.
        if hasMemoryToReturn {
          hasMemoryToReturn = false
          tracer.returnMemory()
        }
      })
    nextLook.due = clock.now
    expectTargets()
    loop.onTimer(nextLook) { [unowned self] due in
      look()
      charge()
      armIfDue()
      tellOfUnmatchedTargets()
      sampleFaultsIfDue()
      let interval = Duration.seconds(lookInterval())
      return due + interval < clock.now ? clock.now + interval : due + interval
    }
    loop.onTurn { [unowned self] in
      if armed == nil, !waitingProfiles.isEmpty { armForProfile() }
      publish()
      server?.turnEnds(nextWithin: nextLook.due.map { max(.zero, $0 - clock.now) })
    }
  }

  private func stop() {
    ServiceManager.notify("STOPPING=1")
    tracer.hurry()
    for request in waitingProfiles { request.answer(.failure(.init("the watch is ending"))) }
    waitingProfiles = []
    if armed != nil { endTrace(early: false) }
    server?.stop()
    stopPushing()
    alertQueue.stop()
    log.info(
      "ended: \(percentText(budget.wholeShare, decimals: 2)) of one CPU used, budget \(percentText(configuration.budget, decimals: 2)), \(counted(status.traces, "trace"))"
    )
  }

  // MARK: The cheap part

  private func look() {
    let before = clock.processSeconds
    let sample = host.sample()
    observer.record(sample)
    for key in observer.processesToExamine(grownBy: 1 << 20, atMost: 2) {
      guard case .process(let processID, _) = key, let classes = host.mappingClasses(of: processID) else { continue }
      observer.note(classes, of: key)
    }
    let host = host
    ranking = GrowthRanking(
      observer,
      lookup: .init(
        cgroupOfProcess: { host.cgroup(of: $0) }, memoryLimitOfProcess: { host.memoryLimit(of: $0) }))
    note(sample)
    // The kernel may have marked a victim just before its group's counter was read: who it was comes first.
    _ = takeVictims()
    keep(sample)
    giveAlerts(sample)
    status.lastSampleSeconds = clock.processSeconds - before
    ServiceManager.notify(
      "WATCHDOG=1\nSTATUS=\(groupedNumber(ranking.growing.count)) series grow; \(percentText(budget.recentShare, decimals: 2)) of one CPU"
    )
  }

  private func note(_ sample: HostSample) {
    status.samples += 1
    status.lastSampleInUnixSeconds = clock.unixSeconds
    status.totalBytes = sample.totalBytes
    status.availableBytes = sample.availableBytes
    status.seriesCounts = [:]
    status.growingCounts = [:]
    status.series = []
    var named: [SeriesKey.Kind: Int] = [:]
    for entry in ranking.series {
      status.seriesCounts[entry.key.kind, default: 0] += 1
      if entry.judgement.word == .growing { status.growingCounts[entry.key.kind, default: 0] += 1 }
      if named[entry.key.kind, default: 0] < configuration.top {
        named[entry.key.kind, default: 0] += 1
        status.series.append(entry)
      }
    }
    status.oomKills = max(status.oomKills, sample.cgroups.reduce(0) { $0 &+ $1.oomKills })
  }

  private func keep(_ sample: HostSample) {
    // Sizes are kept no more often than trends use them, so that a history for a month is not filled in a day.
    let every = max(configuration.interval, configuration.lookback / Double(SizeHistory.maximumWindows))
    guard let history, clock.monotonicSeconds - lastKept >= every - configuration.interval / 2 else { return }
    lastKept = clock.monotonicSeconds
    var sizes: [(kind: String, name: String, bytes: UInt64)] = []
    // The history keeps the same series that the metrics name.
    for entry in status.series where entry.bytes > 0 {
      let name = entry.command.map { "\(entry.key.name) \($0)" } ?? entry.key.name
      sizes.append((entry.key.kind.rawValue, name, entry.bytes))
    }
    writing {
      try history.saveSizes(sizes, at: clock.unixSeconds)
      if clock.monotonicSeconds - lastTrim > Self.secondsPerTrim {
        try history.trim(now: clock.unixSeconds)
        lastTrim = clock.monotonicSeconds
      }
      status.historyBytes = try history.usedBytes()
    }
  }

  /// Writes to the history. If that fails, the error is logged once, and the next call tries again.
  func writing(_ body: () throws -> Void) {
    do {
      try body()
      if trouble != nil { log.info("the history can be written again") }
      trouble = nil
    } catch {
      status.historyErrors += 1
      if trouble == nil { log.error("the history cannot be written: \(error)") }
      trouble = "the history cannot be written: \(error)"
    }
  }

  private func giveAlerts(_ sample: HostSample) {
    for var alert in alerts.alerts(ranking, cgroups: sample.cgroups, toldOf: groupsOfVictims) {
      if alert.reason == .limit || alert.reason == .oom {
        cgroupsInTrouble.insert(alert.name)
        alert.members = members(of: alert.name)
      }
      if alert.kind == "process", let processID = Int32(alert.name) { alert.growingAt = growingAt[processID] ?? [] }
      give(alert)
    }
    groupsOfVictims = []
    reapAlerts()
  }

  private func reapAlerts() { for failure in alertQueue.reap() { log.error("on-alert: \(failure)") } }

  /// Logs an alert, saves it, and runs the command for it, unless it is held back because too many were given lately.
  func give(_ alert: Alert) {
    guard alerts.allows(alert, at: clock.monotonicSeconds) else { return }
    let now = clock.unixSeconds
    status.alerts += 1
    log.warning(
      "\(alert.reason.rawValue): \(alert.kind) \(alert.name)\(alert.command.map { " (\($0))" } ?? "") of \(ByteSize.text(alert.bytes)) grows by \(ByteRate(bytesPerSecond: alert.bytesPerHour / 3600).text(per: .hour))"
    )
    let json = alert.json(time: now, host: Self.hostName)
    if let history {
      writing {
        try history.saveAlert(kind: alert.kind, name: alert.name, text: String(decoding: json, as: UTF8.self), at: now)
      }
    }
    if let command = configuration.onAlert {
      for failure in alertQueue.run(command, json) { log.error("on-alert: \(failure)") }
    }
  }

  static let hostName: String = {
    var buffer = [CChar](repeating: 0, count: 256)
    gethostname(&buffer, buffer.count - 1)
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }()

  // MARK: Cost and metrics

  /// In seconds: while a process has been waiting for so long, looks leave more of the budget to traces.
  private static let secondsOfPatience = 60.0
  /// Targets that nothing has matched for so many seconds are told of, once.
  private static let secondsUntilUnmatched = 60.0

  /// The time between looks, in seconds. It is longer than configured where the looks alone would take more than half
  /// of the budget, or an eighth while a process waits to be traced.
  private func lookInterval() -> Double {
    let now = clock.monotonicSeconds
    let isWaitedFor = waiting.values.contains { now - $0 > Self.secondsOfPatience }
    let affordable = status.lastSampleSeconds / (budget.share / (isWaitedFor ? 8 : 2))
    let interval = max(configuration.interval, affordable)
    // What a look costs varies; only what changes much is worth a line.
    if interval > max(configuration.interval * 1.25, toldLookInterval * 2) {
      toldLookInterval = interval
      let purpose = isWaitedFor ? ", so that the budget pays for a trace" : ""
      log.notice(
        "a look at this host costs \(groupedWholeNumber(status.lastSampleSeconds * 1000)) ms: it is taken every \(Duration.seconds(interval.rounded()).text)\(purpose)"
      )
    }
    status.lookInterval = interval
    return interval
  }

  /// Expects processes of every target from now on.
  func expectTargets() {
    unmatchedTargets = Set(configuration.targets)
    targetsAreToldAt = clock.monotonicSeconds + Self.secondsUntilUnmatched
  }

  private func tellOfUnmatchedTargets() {
    guard let due = targetsAreToldAt, clock.monotonicSeconds >= due else { return }
    targetsAreToldAt = nil
    for target in configuration.targets where unmatchedTargets.contains(target) {
      log.warning("no process matches the target \(target) so far")
    }
  }

  private func charge() {
    let own = clock.processSeconds
    let probes = (armed?.takeProbeSeconds(costs) ?? 0) + takeFaultSeconds()
    budget.spend(byUs: max(0, own - lastOwnSeconds), byProbes: probes, at: clock.monotonicSeconds)
    lastOwnSeconds = own
  }

  private func publish() {
    status.ownSeconds = budget.spentByUs
    status.probeSeconds = budget.spentByProbes
    status.budgetShare = configuration.budget
    status.recentShare = budget.recentShare
    status.alertsSuppressed = alerts.suppressed
    status.probesOn = armed != nil
    status.sites = sitesByTarget.values.flatMap { $0 }
    status.faultSites = faultSitesByTarget.values.flatMap { $0 }
    status.pushes = pushes()
    server?.publish(metrics: status.metrics, trouble: trouble)
  }

  private func takeProfileRequests() { waitingProfiles += server?.takeRequests() ?? [] }

}
