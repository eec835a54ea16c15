import HostObservation
import ReportFormats
import TextOutput

/// One thing to tell the operator.
package struct Alert: Hashable, Sendable {
  package enum Reason: String, Hashable, Sendable {
    case growth
    case forecast
    /// A control group is near its limit.
    case limit
    /// The OOM killer has ended a process.
    case oom
  }
  package var reason: Reason
  package var kind: String
  package var name: String
  package var command: String?
  package var bytes: UInt64
  package var bytesPerHour: Double
  package var secondsToLimit: Double?
  package var limit: String?
  package var nextCommand: String?
  package var mitigation: String?
  /// The control group of a process that the OOM killer has ended.
  package var cgroup: String?
  /// What held the memory of a group in trouble at the last look, the largest first.
  package var members: [Member] = []

  /// Call stacks by which a process touches new memory, most of it first: `function ← caller ← …, 42 %`.
  package var growingAt: [String] = []

  package struct Member: Hashable, Sendable {
    package var processID: Int32
    package var command: String
    package var bytes: UInt64
    package init(processID: Int32, command: String, bytes: UInt64) {
      self.processID = processID
      self.command = command
      self.bytes = bytes
    }
  }

  package init(
    reason: Reason, kind: String, name: String, command: String? = nil, bytes: UInt64 = 0, bytesPerHour: Double = 0,
    secondsToLimit: Double? = nil, limit: String? = nil, nextCommand: String? = nil, mitigation: String? = nil
  ) {
    self.reason = reason
    self.kind = kind
    self.name = name
    self.command = command
    self.bytes = bytes
    self.bytesPerHour = bytesPerHour
    self.secondsToLimit = secondsToLimit
    self.limit = limit
    self.nextCommand = nextCommand
    self.mitigation = mitigation
  }

  package func json(time: Double, host: String) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("schema", "leaktrace.alert/1")
      json.member("time", timestamp(time))
      json.member("host", host)
      json.member("reason", reason.rawValue)
      json.member("kind", kind)
      json.member("name", name)
      json.member("command", command)
      json.member("bytes", bytes)
      json.member("bytes_per_hour", bytesPerHour)
      json.member("seconds_to_limit", secondsToLimit)
      json.member("limit", limit)
      json.member("next_command", nextCommand)
      json.member("mitigation", mitigation)
      json.member("cgroup", cgroup)
      json.key("processes")
      json.array(members) { json, member in
        json.object { json in
          json.member("pid", member.processID)
          json.member("command", member.command)
          json.member("bytes", member.bytes)
        }
      }
      json.key("growing_at")
      json.array(growingAt) { $0.string($1) }
    }
    return json.bytes + [0x0a]
  }
}

/// Decides what is told and how often: the same thing once in a while, and never more than so many things an hour.
package struct AlertPolicy: Sendable {
  private struct Key: Hashable {
    var reason: Alert.Reason
    var kind: String
    var name: String
  }
  /// Seconds before the same alert is given again.
  package var every: Double
  package var growthThreshold: Double
  package var forecastThreshold: Double
  private var given: [Key: Double] = [:]
  private var recent: [Double] = []
  private var oomKills: [String: UInt64] = [:]
  private var hasLooked = false
  /// Alerts that were held back.
  package private(set) var suppressed: UInt64 = 0

  package static let mostPerHour = 30
  /// A group that has used this part of its limit is near it.
  private static let nearLimit = 0.9

  package init(every: Double, growthThreshold: Double, forecastThreshold: Double) {
    self.every = every
    self.growthThreshold = growthThreshold
    self.forecastThreshold = forecastThreshold
  }

  /// Whether something has been seen to grow for long enough: many processes live for seconds and do nothing but grow.
  package static func isLasting(_ series: RankedSeries) -> Bool {
    guard let last = series.points.seconds.last else { return false }
    return last - series.judgement.since >= leastSeconds
  }

  private static let leastSeconds = 30.0

  /// What a ranking and the control groups give rise to, before the limits of rate.
  ///
  /// - Parameter toldOf: groups of victims who were told of when they were marked: their counters are not news.
  package mutating func alerts(
    _ ranking: GrowthRanking, cgroups: [CgroupMemory], toldOf: Set<String> = []
  ) -> [Alert] {
    var alerts: [Alert] = []
    for series in ranking.growing where !series.isReclaimable && Self.isLasting(series) {
      let isSoon = series.secondsToLimit.map { $0 <= forecastThreshold } ?? false
      guard isSoon || series.bytesPerHour >= growthThreshold else { continue }
      let next = NextStep(for: series, profile: nil)
      alerts.append(
        Alert(
          reason: isSoon ? .forecast : .growth, kind: series.key.kind.rawValue, name: series.key.name,
          command: series.command, bytes: series.bytes, bytesPerHour: series.bytesPerHour,
          secondsToLimit: series.secondsToLimit, limit: series.limit?.name, nextCommand: next.command,
          mitigation: next.mitigation))
    }
    for group in cgroups {
      if let limit = group.limit, limit > 0, Double(group.unreclaimable) >= Self.nearLimit * Double(limit) {
        alerts.append(
          Alert(
            reason: .limit, kind: "cgroup", name: group.path, bytes: group.unreclaimable,
            limit: "memory limit of \(group.path)"))
      }
      let before = oomKills[group.path]
      oomKills[group.path] = group.oomKills
      // A group that is new since the last look began with 0.
      // Version 2 counts what happens in a group for those around it, too.
      let around = group.path == "/" ? "/" : group.path + "/"
      let isKnown = toldOf.contains { $0 == group.path || $0.hasPrefix(around) }
      if hasLooked, group.oomKills > before ?? 0, !isKnown {
        alerts.append(Alert(reason: .oom, kind: "cgroup", name: group.path, bytes: group.usage))
      }
    }
    hasLooked = true
    return alerts
  }

  /// Whether an alert is to be given now.
  package mutating func allows(_ alert: Alert, at time: Double) -> Bool {
    let key = Key(reason: alert.reason, kind: alert.kind, name: alert.name)
    // An end by the OOM killer is an event, not a state.
    if alert.reason != .oom, let last = given[key], time - last < every { return false }
    recent.removeAll { time - $0 >= 3600 }
    guard recent.count < Self.mostPerHour else {
      suppressed += 1
      return false
    }
    recent.append(time)
    given[key] = time
    if given.count > 10_000 { given = given.filter { time - $0.value < every } }
    return true
  }
}
