/// One capability that was tried on this host, and whether it worked.
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
    /// It does not work. Something else takes its place, at a cost.
    case degraded
    /// It is missing, and leaktrace can do without it.
    case absent
    /// It does not work, and nothing can be traced without it.
    case fails
  }

  package var area: Area
  package var name: String
  package var status: Status
  /// What was found, or why it does not work.
  package var detail: String
  /// What the user can do about it; nil if there is nothing to do.
  package var remedy: String?

  package init(_ area: Area, _ name: String, _ status: Status, _ detail: String, remedy: String? = nil) {
    self.area = area
    self.name = name
    self.status = status
    self.detail = detail
    self.remedy = remedy
  }
}

/// The results of all checks of a host, and what probes cost on it.
package struct HostDiagnosis: Sendable {
  package var checks: [CapabilityCheck]
  package var costs: ProbeCosts?
  package var forecast: OverheadForecast?

  package init(checks: [CapabilityCheck], costs: ProbeCosts?, forecast: OverheadForecast? = nil) {
    self.checks = checks
    self.costs = costs
    self.forecast = forecast
  }

  /// Whether the host has everything without which nothing can be traced.
  package var isReady: Bool { !checks.contains { $0.status == .fails } }
}
