/// What a watch does. Each setting has the value that it has here by default; what the configuration file says takes the
/// place of that, and what the command line says takes the place of both. How values are written says ``WatchOption``.
package struct WatchConfiguration: Hashable, Sendable {
  /// The part of one CPU that leaktrace and its probes may take: 0.01 is 1 %.
  package var budget = 0.01
  /// Seconds between two looks at the host.
  package var interval = 10.0
  /// Seconds that trends are judged by.
  package var lookback = 3600.0
  /// Address and port of the HTTP server; nil for none.
  package var listen: String? = "127.0.0.1:9777"
  /// Path of the HTTP server's Unix socket, which only the watch's own user can open; nil for none.
  package var socket: String? = usualSocket
  package static let usualSocket = "/run/leaktrace/watch.sock"
  /// File whose first line HTTP clients of `listen` must send as a bearer token.
  package var tokenFile: String?
  /// Names in the `Host` header that are answered, beside the address itself.
  package var hostNames: [String] = []
  /// Whether profiles tell where the memory of the traced processes lies.
  package var hasAddressesInProfiles = false
  package var history: String?
  package var historySize: Int64 = 256 << 20
  /// Seconds.
  package var retention = 30.0 * 86400
  /// Traced whether they grow or not.
  package var targets: [WatchTarget] = []
  /// Seconds that a trace lasts when it is armed.
  package var traceLength = 20.0
  /// Least seconds between two traces of one process.
  package var traceEvery = 600.0
  /// Mean bytes between samples of a trace; made larger where the budget asks for it.
  package var sampleBytes: UInt64 = 512 << 10
  package var arms = true
  /// Shell command that is given each alert as JSON.
  package var onAlert: String?
  /// Seconds before the same alert is given again.
  package var alertEvery = 3600.0
  /// Bytes per hour of growth, and seconds to a limit, that make an alert.
  package var growthThreshold = 64.0 * 1024 * 1024
  package var forecastThreshold = 6.0 * 3600
  /// Series of each kind that metrics name.
  package var top = 20
  package var push = PushSettings()

  package init() {}
}

/// Something to be traced always, found again when it is started anew.
package enum WatchTarget: Hashable, Sendable, CustomStringConvertible {
  case process(Int32)
  case unit(String)
  case cgroup(String)
  case command(String)

  /// `pid:42`, `unit:nginx.service`, `cgroup:/a/b`, `comm:nginx`; a number is a process, any other word a command name.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    if parts.contains("") { return nil }
    switch (parts.first, parts.count) {
    case ("pid", 2):
      guard let processID = Int32(parts[1]), processID > 0 else { return nil }
      self = .process(processID)
    case ("unit", 2): self = .unit(parts[1])
    case ("cgroup", 2):
      guard parts[1].hasPrefix("/") else { return nil }
      self = .cgroup(parts[1])
    case ("comm", 2): self = .command(parts[1])
    case (let word?, 1):
      if let processID = Int32(word) {
        guard processID > 0 else { return nil }
        self = .process(processID)
      } else {
        self = .command(word)
      }
    default: return nil
    }
  }

  package var description: String {
    switch self {
    case .process(let processID): "pid:\(processID)"
    case .unit(let name): "unit:\(name)"
    case .cgroup(let path): "cgroup:\(path)"
    case .command(let name): "comm:\(name)"
    }
  }
}

/// Where a watch sends the profiles of its traces.
package struct PushSettings: Hashable, Sendable {
  /// One of each service.
  package var destinations: [PushDestination] = []
  /// File whose first line is sent as a bearer token.
  package var tokenFile: String?
  /// Sent as `X-Scope-OrgID`, by which Pyroscope tells tenants apart.
  package var tenant: String?
  package var labels: [PushLabel] = []

  package init() {}
}
