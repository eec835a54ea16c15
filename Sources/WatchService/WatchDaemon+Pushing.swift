import AllocationTracing
import ReportFormats
import SystemSupport
import TraceModel
import Watch
import WatchServer

/// Sends the profiles of traces to Pyroscope and Parca.
extension WatchDaemon {
  /// A service that profiles are sent to, and whether its current trouble has been logged.
  struct Pusher {
    let destination: PushDestination
    let pusher: ProfilePusher
    var isInTrouble = false
  }

  /// When a watch ends, the last profiles should still arrive, but nobody waits longer than this for them.
  private static let patienceAtEnd = Duration.seconds(3)

  /// Starts, continues or stops sending, depending on what the configuration says.
  func startPushing() throws {
    let settings = configuration.push
    var headers = [("user-agent", "leaktrace/\(version)")]
    if let token = try Self.token(in: settings.tokenFile, key: "push-token-file") {
      headers.append(("authorization", "Bearer \(token)"))
    }
    if let tenant = settings.tenant { headers.append(("x-scope-orgid", tenant)) }
    var kept: [Pusher] = []
    for destination in settings.destinations {
      if let known = pushers.first(where: { $0.destination == destination }) {
        known.pusher.setHeaders(headers)
        kept.append(known)
        continue
      }
      do {
        let pusher = try ProfilePusher(
          address: destination.address, port: destination.port, host: destination.host, headers: headers)
        kept.append(Pusher(destination: destination, pusher: pusher))
      } catch { throw Refusal("push-\(destination.service.name) \(destination.url): \(error)") }
      log.info("profiles are sent to \(destination.service.name) at \(destination.url)")
    }
    for old in pushers where !settings.destinations.contains(old.destination) { old.pusher.stop(patience: .zero) }
    pushers = kept
  }

  func stopPushing() {
    // The last answers may tell of trouble that has not been logged yet, so the state is asked for once more.
    for pusher in pushers { pusher.pusher.stop(patience: Self.patienceAtEnd) }
    _ = pushes()
    pushers = []
  }

  /// Gives a trace to every service, and returns at once.
  func push(_ report: Report, reason: String) {
    guard !pushers.isEmpty, !report.sites.isEmpty else { return }
    let profile = PprofReport.renderForOthers(forOthers(report))
    let start = report.window.startInUnixSeconds
    let origin = PushedProfile.Origin(
      host: Self.hostName, command: report.target.command ?? "unknown", reason: reason,
      labels: configuration.push.labels, start: start, end: start + report.window.duration / .seconds(1))
    for pusher in pushers {
      let request = PushedProfile(profile, of: origin, to: pusher.destination)
      pusher.pusher.send(.init(path: request.path, contentType: request.contentType, body: request.body))
    }
  }

  /// What came of the sending, for the metrics. Trouble is logged when it begins and when it is over.
  func pushes() -> [WatchStatus.Push] {
    pushers.indices.map { index in
      let (service, counters) = (pushers[index].destination.service.name, pushers[index].pusher.counters)
      if let trouble = counters.trouble, !pushers[index].isInTrouble {
        log.warning("profiles do not arrive at \(service) (\(pushers[index].destination.url)): \(trouble)")
      } else if counters.trouble == nil, pushers[index].isInTrouble {
        log.info("profiles arrive at \(service) again")
      }
      pushers[index].isInTrouble = counters.trouble != nil
      return WatchStatus.Push(
        service: service, profiles: counters.sent, bytes: counters.sentBytes, retries: counters.retries,
        waiting: counters.waiting,
        failures: PushFailure.Cause.allCases.map { ($0.rawValue, counters.failed[$0] ?? 0) })
    }
  }
}
