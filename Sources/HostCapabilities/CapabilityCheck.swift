/// One thing that was tried, and whether it worked.
package struct CapabilityCheck: Hashable, Sendable {
  package enum Area: String, Hashable, Sendable, CaseIterable {
    case rights
    case kernel
    case programs = "BPF programs"
    case userProbes = "user probes"
    case kernelProbes = "kernel probes"
    case host
    case symbols
    case target
  }

  package enum Status: String, Hashable, Sendable {
    case works
    /// It does not work; something else takes its place at a cost.
    case degraded
    /// A thing that leaktrace does without.
    case absent
    /// It does not work, and nothing can be traced without it.
    case fails
  }

  package var area: Area
  package var name: String
  package var status: Status
  /// What was found, or why it does not work.
  package var detail: String
  /// What to do about it; nil where there is nothing to do.
  package var remedy: String?

  package init(_ area: Area, _ name: String, _ status: Status, _ detail: String, remedy: String? = nil) {
    self.area = area
    self.name = name
    self.status = status
    self.detail = detail
    self.remedy = remedy
  }
}

/// All checks of a host, and what probes cost on it.
package struct HostDiagnosis: Sendable {
  package var checks: [CapabilityCheck]
  package var costs: ProbeCosts?
  package var forecast: OverheadForecast?

  package init(checks: [CapabilityCheck], costs: ProbeCosts?, forecast: OverheadForecast? = nil) {
    self.checks = checks
    self.costs = costs
    self.forecast = forecast
  }

  /// Whether everything is there that a trace cannot do without.
  package var isReady: Bool { !checks.contains { $0.status == .fails } }
}
