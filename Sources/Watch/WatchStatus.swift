import HostObservation
import TraceModel

/// What a watch shows of itself and of the host: the content of its metrics.
package struct WatchStatus: Sendable {
  package var version: String
  package var startInUnixSeconds = 0.0
  package var totalBytes: UInt64 = 0
  package var availableBytes: UInt64 = 0
  package var seriesCounts: [SeriesKey.Kind: Int] = [:]
  package var growingCounts: [SeriesKey.Kind: Int] = [:]
  /// Those that metrics name: the riskiest of each kind.
  package var series: [RankedSeries] = []
  package var samples: UInt64 = 0
  package var lastSampleInUnixSeconds = 0.0
  package var lastSampleSeconds = 0.0
  /// Seconds between looks, as the budget allows them.
  package var lookInterval = 0.0
  /// Seconds of CPU time.
  package var ownSeconds = 0.0
  package var probeSeconds = 0.0
  package var budgetShare = 0.0
  package var recentShare = 0.0
  package var probeHits: UInt64 = 0
  package var traces: UInt64 = 0
  package var tracesEndedEarly: UInt64 = 0
  package var probesOn = false
  /// Why probes are off although something is to be traced; nil where they are not.
  package var probesOffReason: String?
  package var emulatedNanoseconds = 0.0
  package var steppedNanoseconds = 0.0
  package var loss: [String: UInt64] = [:]
  package var alerts: UInt64 = 0
  package var alertsSuppressed: UInt64 = 0
  package var historyBytes: Int64?
  package var historyErrors: UInt64 = 0
  package var oomKills: UInt64 = 0
  /// Victims of the OOM killer that were seen when they were marked.
  package var oomVictims: UInt64 = 0
  /// The call stacks of the last traces that hold most.
  package var sites: [Site] = []
  /// The call stacks with which growing processes touch most new memory.
  package var faultSites: [FaultSite] = []
  package var faultSamples: UInt64 = 0
  package var faultSamplesLost: UInt64 = 0

  package struct FaultSite: Sendable {
    package var target: String
    package var function: String
    package var module: String
    package var bytesPerSecond: Double
    package init(target: String, function: String, module: String, bytesPerSecond: Double) {
      self.target = target
      self.function = function
      self.module = module
      self.bytesPerSecond = bytesPerSecond
    }
  }

  /// Services that profiles are sent to.
  package var pushes: [Push] = []

  package struct Push: Sendable {
    package var service: String
    package var profiles: UInt64
    package var bytes: UInt64
    package var retries: UInt64
    package var waiting: Int
    /// Profiles that did not arrive, by cause. Causes that never happened are listed with 0.
    package var failures: [(cause: String, count: UInt64)]
    package init(
      service: String, profiles: UInt64, bytes: UInt64, retries: UInt64, waiting: Int,
      failures: [(cause: String, count: UInt64)]
    ) {
      self.service = service
      self.profiles = profiles
      self.bytes = bytes
      self.retries = retries
      self.waiting = waiting
      self.failures = failures
    }
  }

  package struct Site: Sendable {
    package var target: String
    package var processID: Int32
    package var function: String
    package var module: String
    package var identity: Int64
    package var outstandingBytes: UInt64
    package var allocatedBytes: UInt64
    package init(
      target: String, processID: Int32, function: String, module: String, identity: Int64, outstandingBytes: UInt64,
      allocatedBytes: UInt64
    ) {
      self.target = target
      self.processID = processID
      self.function = function
      self.module = module
      self.identity = identity
      self.outstandingBytes = outstandingBytes
      self.allocatedBytes = allocatedBytes
    }
  }

  package init(version: String) { self.version = version }

  package var metrics: String {
    var metrics = OpenMetrics()
    writeHost(&metrics)
    writeSeries(&metrics)
    writeSites(&metrics)
    writeSelf(&metrics)
    writePushes(&metrics)
    return metrics.document
  }

  private func writeHost(_ metrics: inout OpenMetrics) {
    metrics.family("leaktrace_build", .info, "The version of leaktrace.")
    metrics.sample([("version", version)], 1.0)
    metrics.family("leaktrace_host_memory_bytes", .gauge, unit: "bytes", "Memory of the host.")
    metrics.sample([("state", "total")], totalBytes)
    metrics.sample([("state", "available")], availableBytes)
    metrics.family("leaktrace_series", .gauge, "Things whose size is followed, by kind.")
    for kind in SeriesKey.Kind.allCases { metrics.sample([("kind", Self.word(kind))], Double(seriesCounts[kind] ?? 0)) }
    metrics.family("leaktrace_growing_series", .gauge, "Things that grow significantly, by kind.")
    for kind in SeriesKey.Kind.allCases {
      metrics.sample([("kind", Self.word(kind))], Double(growingCounts[kind] ?? 0))
    }
  }

  private func labels(_ series: RankedSeries) -> [(String, String)] {
    [
      ("kind", Self.word(series.key.kind)), ("name", series.key.name), ("command", series.command ?? ""),
      ("owner", series.owner?.name ?? ""),
    ]
  }

  private func writeSeries(_ metrics: inout OpenMetrics) {
    metrics.family("leaktrace_series_size_bytes", .gauge, unit: "bytes", "Size of the riskiest things of each kind.")
    for entry in series { metrics.sample(labels(entry), entry.bytes) }
    metrics.family(
      "leaktrace_series_growth_bytes_per_second", .gauge, "Theil-Sen slope of what grows significantly, else 0.")
    for entry in series { metrics.sample(labels(entry), entry.judgement.word == .growing ? entry.judgement.slope : 0) }
    metrics.family(
      "leaktrace_series_limit_seconds", .gauge, unit: "seconds", "Time until the limit that applies, of what grows.")
    for entry in series {
      if let seconds = entry.secondsToLimit { metrics.sample(labels(entry), seconds) }
    }
    metrics.family(
      "leaktrace_oom_kills", .counter, "Processes of control groups that the OOM killer ended since the start.")
    metrics.sample(oomKills)
    metrics.family("leaktrace_oom_victims", .counter, "Processes that the OOM killer was seen to mark.")
    metrics.sample(oomVictims)
  }

  private func writeSites(_ metrics: inout OpenMetrics) {
    func labels(_ site: Site) -> [(String, String)] {
      [
        ("target", site.target), ("function", site.function), ("module", site.module),
        ("site", String(UInt64(bitPattern: site.identity), radix: 16)),
      ]
    }
    metrics.family(
      "leaktrace_site_outstanding_bytes", .gauge, unit: "bytes",
      "Outstanding at the end of the last trace of a target, by call stack; the largest.")
    for site in sites { metrics.sample(labels(site), site.outstandingBytes) }
    metrics.family(
      "leaktrace_site_allocated_bytes", .gauge, unit: "bytes",
      "Allocated during the last trace of a target, by call stack.")
    for site in sites { metrics.sample(labels(site), site.allocatedBytes) }
    metrics.family(
      "leaktrace_fault_site_bytes_per_second", .gauge,
      "Memory that what grows touched for the first time when its page faults were last sampled, by function.")
    for site in faultSites {
      metrics.sample(
        [("target", site.target), ("function", site.function), ("module", site.module)], site.bytesPerSecond)
    }
    metrics.family("leaktrace_fault_samples", .counter, "Page faults that were sampled.")
    metrics.sample(faultSamples)
    metrics.family("leaktrace_fault_samples_lost", .counter, "Samples of page faults that found no room.")
    metrics.sample(faultSamplesLost)
  }

  private func writeSelf(_ metrics: inout OpenMetrics) {
    metrics.family(
      "leaktrace_cpu_seconds", .counter, unit: "seconds", "CPU time of leaktrace, and of its probes in others.")
    metrics.sample([("where", "leaktrace")], ownSeconds)
    metrics.sample([("where", "probes")], probeSeconds)
    metrics.family("leaktrace_budget_ratio", .gauge, unit: "ratio", "Share of one CPU that leaktrace may use.")
    metrics.sample(budgetShare)
    metrics.family("leaktrace_overhead_ratio", .gauge, unit: "ratio", "Share of one CPU used in the last five minutes.")
    metrics.sample(recentShare)
    metrics.family("leaktrace_probes_on", .gauge, "Whether a process is traced now.")
    metrics.sample(probesOn ? 1.0 : 0.0)
    metrics.family("leaktrace_probes_off", .gauge, "1 where something is to be traced and is not, with the reason.")
    metrics.sample([("reason", probesOffReason ?? "")], probesOffReason == nil ? 0.0 : 1.0)
    metrics.family(
      "leaktrace_probe_hit_cost_seconds", .gauge, unit: "seconds", "Calibrated cost of a probe's hit here.")
    metrics.sample([("instruction", "emulated")], emulatedNanoseconds / 1e9)
    metrics.sample([("instruction", "stepped")], steppedNanoseconds / 1e9)
    metrics.family("leaktrace_probe_hits", .counter, "Hits of all probes.")
    metrics.sample(probeHits)
    metrics.family("leaktrace_traces", .counter, "Traces that were armed.")
    metrics.sample(traces)
    metrics.family("leaktrace_traces_ended_early", .counter, "Traces that ended because the budget was spent.")
    metrics.sample(tracesEndedEarly)
    metrics.family("leaktrace_samples", .counter, "Looks at the host.")
    metrics.sample(samples)
    metrics.family(
      "leaktrace_last_sample_timestamp_seconds", .gauge, unit: "seconds", "When the host was last looked at.")
    metrics.sample(lastSampleInUnixSeconds)
    metrics.family("leaktrace_last_sample_seconds", .gauge, unit: "seconds", "CPU time of the last look.")
    metrics.sample(lastSampleSeconds)
    metrics.family("leaktrace_sample_interval_seconds", .gauge, unit: "seconds", "Time between looks at the host.")
    metrics.sample(lookInterval)
    metrics.family("leaktrace_loss", .counter, "What traces could not record, by cause.")
    for (cause, count) in loss.sorted(by: { $0.key < $1.key }) { metrics.sample([("cause", cause)], count) }
    metrics.family("leaktrace_alerts", .counter, "Alerts given.")
    metrics.sample(alerts)
    metrics.family("leaktrace_alerts_suppressed", .counter, "Alerts held back by the limit of their rate.")
    metrics.sample(alertsSuppressed)
    metrics.family("leaktrace_history_errors", .counter, "Writes to the history that failed.")
    metrics.sample(historyErrors)
    if let historyBytes {
      metrics.family("leaktrace_history_size_bytes", .gauge, unit: "bytes", "Size of the history.")
      metrics.sample(Double(historyBytes))
    }
  }

  private func writePushes(_ metrics: inout OpenMetrics) {
    if pushes.isEmpty { return }
    func family(
      _ name: String, _ kind: OpenMetrics.Kind, unit: String? = nil, _ help: String, _ value: (Push) -> UInt64
    ) {
      metrics.family(name, kind, unit: unit, help)
      for push in pushes { metrics.sample([("to", push.service)], value(push)) }
    }
    family("leaktrace_push_profiles", .counter, "Profiles that a service has taken.") { $0.profiles }
    family("leaktrace_push_sent_bytes", .counter, unit: "bytes", "Bytes of the bodies that a service has taken.") {
      $0.bytes
    }
    family("leaktrace_push_retries", .counter, "Requests that failed and were made again.") { $0.retries }
    family("leaktrace_push_waiting", .gauge, "Profiles that wait to be sent.") { UInt64($0.waiting) }
    metrics.family("leaktrace_push_failures", .counter, "Profiles that were given up, by cause.")
    for push in pushes {
      for (cause, count) in push.failures { metrics.sample([("to", push.service), ("cause", cause)], count) }
    }
  }

  private static func word(_ kind: SeriesKey.Kind) -> String {
    kind.rawValue.split(separator: " ").joined(separator: "_")
  }
}
