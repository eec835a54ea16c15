import AllocationTracing
import Glibc
import History
import HostObservation
import Quantities
import ReportFormats
import Session
import SystemSupport
import TraceModel
import Watch
import WatchServer

/// Decides which processes a watch traces and when, and handles the results of the traces.
extension WatchDaemon {
  /// Metrics name at most so many call stacks of a target, and have call stacks of at most so many targets.
  private static let sitesPerTarget = 10
  private static let targetsWithSites = 20
  /// In seconds: a process of a group in trouble is traced again after the first, and the successor of a victim is
  /// waited for no longer than the second.
  private static let secondsBetweenTroubles = 60.0
  private static let secondsOfTrouble = 3600.0

  private struct Candidate {
    var processID: Int32
    var command: String
    var reason: String
  }

  // MARK: Choosing

  /// The processes that may be traced, in this order: members of control groups in trouble and successors of victims,
  /// which cannot wait; the processes of the targets; then growing processes.
  private func candidates() -> [Candidate] {
    var result: [Candidate] = []
    var seen: Set<Int32> = [getpid()]
    func add(_ processID: Int32, _ command: String, _ reason: String) {
      if seen.insert(processID).inserted {
        result.append(Candidate(processID: processID, command: command, reason: reason))
      }
    }
    if configuration.arms {
      for path in cgroupsInTrouble {
        for (processID, command) in processes(of: .cgroup(path)).prefix(1) { add(processID, command, "limit") }
      }
      for name in commandsOfVictims.keys {
        for (processID, command) in processes(of: .command(name)).prefix(1) { add(processID, command, "oom") }
      }
    }
    for target in configuration.targets {
      let matching = processes(of: target)
      if !matching.isEmpty { unmatchedTargets.remove(target) }
      for (processID, command) in matching { add(processID, command, "target") }
    }
    guard configuration.arms else { return result }
    for series in ranking.growing where AlertPolicy.isLasting(series) {
      guard case .process(let processID, _) = series.key else { continue }
      add(processID, series.command ?? "", "growth")
    }
    return result
  }

  /// The processes of a target, the largest first.
  private func processes(of target: WatchTarget) -> [(processID: Int32, command: String)] {
    largest(of: target).map { ($0.processID, $0.command) }
  }

  /// The processes of a control group with their sizes, as of the last look, the largest first.
  func members(of path: String) -> [Alert.Member] {
    largest(of: .cgroup(path)).prefix(Self.mostMembers).map {
      Alert.Member(processID: $0.processID, command: $0.command, bytes: $0.bytes)
    }
  }

  private static let mostMembers = 10

  private func largest(of target: WatchTarget) -> [(processID: Int32, command: String, bytes: UInt64)] {
    var found: [(processID: Int32, command: String, bytes: UInt64)] = []
    for (key, track) in observer.tracks {
      guard case .process(let processID, _) = key, let process = track.latestProcess else { continue }
      let matches =
        switch target {
        case .process(let wanted): processID == wanted
        case .command(let name): process.command == name
        case .cgroup(let path): host.cgroup(of: processID).map { $0 == path || $0.hasPrefix(path + "/") } ?? false
        case .unit(let name): host.cgroup(of: processID).flatMap(CgroupOwner.init(path:))?.name == name
        }
      if matches { found.append((processID, process.command, process.charged)) }
    }
    return found.sorted { $0.bytes > $1.bytes }
  }

  // MARK: Arming

  /// Starts tracing the first candidate whose turn it is, if the budget has enough for it.
  func armIfDue() {
    guard armed == nil, waitingProfiles.isEmpty else { return }
    let now = clock.monotonicSeconds
    lastTraced = lastTraced.filter { now - $0.value < 86400 }
    commandsOfVictims = commandsOfVictims.filter { now - $0.value < Self.secondsOfTrouble }
    var reason: String?
    let candidates = dueCandidates(now)
    let present = Set(candidates.map(\.processID))
    waiting = waiting.filter { present.contains($0.key) }
    for due in candidates {
      let cost = targetCosts[due.command] ?? TargetCost(sampleBytes: configuration.sampleBytes)
      // Even a trace that ends early is useful, but the budget must at least pay for a fortieth of its usual length.
      let needed = cost.forecast(seconds: configuration.traceLength / 40)
      guard budget.canEverAfford(needed) else {
        reason =
          reason
          ?? "a trace of \(due.command) costs more than a budget of \(percentText(configuration.budget, decimals: 2)) ever saves up"
        continue
      }
      if budget.canAfford(needed) {
        status.probesOffReason = nil
        waiting[due.processID] = nil
        return arm(due, at: now)
      }
      reason = reason ?? "the budget is used up, and is being saved up again"
      // The other candidates wait for the one that is next, but not for ever: the watch itself may need so much of the
      // budget that it never saves up enough for that one. Which is next can change from look to look.
      let since = waiting[due.processID] ?? now
      if now - since > OverheadBudget.span {
        log.notice("process \(due.processID) (\(due.command)) is not traced this time: the budget is too small for it")
        lastTraced[due.processID] = now
        waiting[due.processID] = nil
      } else {
        waiting[due.processID] = since
      }
      break
    }
    if let reason { say(probesOff: reason) } else { status.probesOffReason = nil }
  }

  private func arm(_ due: Candidate, at now: Double) {
    cgroupsInTrouble = []
    if due.reason == "oom" { commandsOfVictims[due.command] = nil }
    do {
      try arm(due.processID, due.command, due.reason, seconds: configuration.traceLength)
    } catch {
      lastTraced[due.processID] = now
      log.warning("process \(due.processID) (\(due.command)) cannot be traced: \(error)")
    }
  }

  /// Candidates in trouble come first. Of the others, the one that was traced longest ago comes first, so that one
  /// expensive target does not use up the whole budget.
  private func dueCandidates(_ now: Double) -> [Candidate] {
    var due: [(candidate: Candidate, isInTrouble: Bool, last: Double)] = []
    for candidate in candidates() {
      let isInTrouble = candidate.reason == "limit" || candidate.reason == "oom"
      let every = isInTrouble ? min(configuration.traceEvery, Self.secondsBetweenTroubles) : configuration.traceEvery
      let last = lastTraced[candidate.processID] ?? -.infinity
      if now - last >= every { due.append((candidate, isInTrouble, last)) }
    }
    // Swift's sort is stable, so that candidates that compare as equal keep the order of `candidates()`.
    return due.sorted { $0.isInTrouble != $1.isInTrouble ? $0.isInTrouble : !$0.isInTrouble && $0.last < $1.last }
      .map(\.candidate)
  }

  private func say(probesOff reason: String) {
    if status.probesOffReason != reason { log.notice("probes are off: \(reason)") }
    status.probesOffReason = reason
  }

  private func arm(_ processID: Int32, _ command: String, _ reason: String, seconds: Double) throws {
    var cost = targetCosts[command] ?? TargetCost(sampleBytes: configuration.sampleBytes)
    let before = clock.processSeconds
    lastTraced[processID] = clock.monotonicSeconds
    nextSession += 1
    let trace = try tracer.trace(processID: processID, sampleBytes: cost.sampleBytes)
    armed = ArmedTrace(
      trace, processID: processID, command: command, session: nextSession, reason: reason, started: clock.now,
      length: .seconds(seconds))
    armedGroup = host.cgroup(of: processID)
    cost.attachSeconds = clock.processSeconds - before
    targetCosts[command] = cost
    status.traces += 1
    log.info("tracing process \(processID) (\(command)) for \(Duration.seconds(seconds).text): \(reason)")
  }

  /// A profile that somebody asked for is taken at once. The budget pays for it afterwards.
  func armForProfile() {
    let request = waitingProfiles.removeFirst()
    let growing = candidates().first
    guard let processID = request.processID ?? growing?.processID else {
      return request.answer(.failure(.init("no process grows and there is no target: name one with pid=N")))
    }
    let command =
      observer.tracks.values.first { $0.latestProcess?.processID == processID }?.command ?? "pid \(processID)"
    do {
      try arm(processID, command, "profile", seconds: request.seconds)
      profileRequest = request
    } catch {
      request.answer(.failure(.init("process \(processID) cannot be traced: \(error)")))
    }
  }

  // MARK: Ending

  func endTraceIfDue() {
    guard let armed else { return }
    let isSpent =
      budget.isExhausted(reserve: targetCosts[armed.command]?.finishSeconds ?? 0) && armed.reason != "profile"
    if armed.hasEnded || isSpent || clock.now >= armed.end { endTrace(early: isSpent && !armed.hasEnded) }
  }

  /// - Parameter reason: why the trace is kept; nil if that is the reason for which it began.
  func endTrace(early: Bool, reason: String? = nil) {
    guard let armed else { return }
    let reason = reason ?? armed.reason
    let seconds = (clock.now - armed.started) / .seconds(1)
    let before = clock.processSeconds
    let report = armed.finish()
    self.armed = nil
    hasMemoryToReturn = true
    targetCosts[armed.command]?.learn(
      hits: armed.hits, cpuSeconds: armed.probeSeconds, seconds: seconds, endedEarly: early)
    defer { targetCosts[armed.command]?.finishSeconds = clock.processSeconds - before }
    // Commands come and go. When there are too many, everything that was learnt about their costs is dropped.
    if targetCosts.count > 1000 { targetCosts = [:] }
    status.probeHits &+= armed.hits
    if early { status.tracesEndedEarly += 1 }
    for counter in report.loss { status.loss[counter.name, default: 0] &+= counter.value }
    noteSites(report, of: armed)
    log.info(
      "traced process \(armed.processID) (\(armed.command)) for \(Duration.seconds(seconds).text): \(groupedNumber(armed.hits)) hits, \(ByteSize.exact(report.totals.outstanding.bytes)) outstanding\(early ? "; ended early by the budget" : "")\(reason == "oom" ? "; the OOM killer has marked it" : "")"
    )
    if let history { writing { try history.save(report, session: armed.session, reason: reason) } }
    if let request = profileRequest {
      request.answer(.success(PprofReport.render(forOthers(report))))
      profileRequest = nil
    } else {
      push(report, reason: reason)
    }
  }

  /// What leaves the watch.
  func forOthers(_ report: Report) -> Report { configuration.hasAddressesInProfiles ? report : report.withoutAddresses }

  private func noteSites(_ report: Report, of armed: ArmedTrace) {
    var sites: [WatchStatus.Site] = []
    var seen: Set<Int64> = []
    for site in report.sites {
      let identity = HistoryStore.identity(of: site)
      guard sites.count < Self.sitesPerTarget else { break }
      guard seen.insert(identity).inserted else { continue }
      // The frames of the C++ library's wrappers say little. Therefore the innermost frame is taken that has a name and
      // is not in that library.
      let frame =
        site.frames.first { $0.function != nil && !($0.module ?? "").contains("libstdc++") } ?? site.frames.first
      sites.append(
        WatchStatus.Site(
          target: armed.command, processID: armed.processID, function: frame?.function ?? "?",
          module: frame?.module?.split(separator: "/").last.map(String.init) ?? "?", identity: identity,
          outstandingBytes: site.outstanding.bytes, allocatedBytes: site.allocated.bytes))
    }
    if sitesByTarget[armed.command] == nil, sitesByTarget.count >= Self.targetsWithSites { sitesByTarget = [:] }
    sitesByTarget[armed.command] = sites
  }
}
