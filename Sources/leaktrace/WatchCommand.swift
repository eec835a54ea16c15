import AllocationTracing
import ArgumentParser
import Glibc
import Session
import SystemSupport
import Watch
import WatchService

/// `leaktrace watch`: the options. What they do not say is taken from the configuration file, and else is a default.
struct WatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Watches the host without end, inside an overhead budget: history, metrics for Prometheus, alerts.",
    discussion: """
      Follows the sizes of processes, control groups and the kernel's memory, and traces by itself, sampled and for a \
      short while, what grows, and every --target. SIGHUP reads the configuration file again, SIGTERM ends the watch. \
      Needs root, or the capabilities that leaktrace-watch.service grants.
      """)

  @Option(help: "Configuration file: 'key = value' lines with the names of these options.")
  var config: String?

  @Option(help: "Share of one CPU that leaktrace and its probes may take (1%).")
  var budget: String?

  @Option(help: "Time between two looks at the host (10s).")
  var interval: String?

  @Option(
    name: .customLong("target"), help: "Trace always: pid:N, unit:NAME, cgroup:/PATH or comm:NAME; can be repeated.")
  var targets: [String] = []

  @Option(help: "Address of the HTTP server, or off (127.0.0.1:9777).")
  var listen: String?

  @Option(help: "File with the bearer token that HTTP clients must send.")
  var tokenFile: String?

  @Option(help: "Keep the history in this file.")
  var history: String?

  @Option(help: "Greatest size of the history (256M).")
  var historySize: String?

  @Option(help: "How long the history is kept (30d).")
  var retention: String?

  @Option(name: .customLong("on-alert"), help: "Run this shell command with each alert as JSON on its input.")
  var onAlert: String?

  @Option(help: "How far trends look back (1h).")
  var lookback: String?

  @Option(help: "How long a trace lasts (20s).")
  var traceLength: String?

  @Option(help: "Least time between two traces of one process (10m).")
  var traceEvery: String?

  @Option(help: "Send each trace's profile to this Pyroscope (http://ADDRESS:4040), or off.")
  var pushPyroscope: String?

  @Option(help: "Send each trace's profile to this Parca (http://ADDRESS:7070), or off.")
  var pushParca: String?

  @Option(help: "File with the bearer token to send with profiles.")
  var pushTokenFile: String?

  @Option(help: "Tenant of Pyroscope to send profiles for.")
  var pushTenant: String?

  @Option(name: .customLong("push-label"), help: "Label of all profiles sent: NAME=VALUE; can be repeated.")
  var pushLabels: [String] = []

  @Flag(name: .customLong("no-arm"), help: "Trace only --target, not what grows.")
  var armsNothing = false

  @Flag(name: .customLong("check-config"), help: "Say whether the configuration is right, and end.")
  var onlyChecks = false

  mutating func validate() throws { _ = try settings() }

  mutating func run() throws {
    let configuration = try settings()
    if onlyChecks {
      writeAll("the configuration is right\n", to: STDOUT_FILENO)
      return
    }
    let daemon = try WatchDaemon(
      configuration: configuration, version: LeakTrace.configuration.version,
      reload: { [self] in
        do { return try settings() } catch { throw TraceError(Self.message(for: error)) }
      })
    let code = try daemon.run()
    if code != 0 { throw ExitCode(code) }
  }

  /// The file's settings with those of the command line over them. Throws with every mistake.
  func settings() throws -> WatchConfiguration {
    var configuration = WatchConfiguration()
    if let config {
      guard let text = WatchDaemon.text(of: config) else {
        throw ValidationError("--config \(config) cannot be read: \(errorMessage(errno))")
      }
      try take(WatchConfigurationFile.apply(text, to: &configuration).map { "\(config), \($0)" })
    }
    let given: [(String, String?)] = [
      ("budget", budget), ("interval", interval), ("listen", listen), ("token-file", tokenFile), ("history", history),
      ("history-size", historySize), ("retention", retention), ("on-alert", onAlert), ("lookback", lookback),
      ("trace-length", traceLength), ("trace-every", traceEvery), ("push-pyroscope", pushPyroscope),
      ("push-parca", pushParca), ("push-token-file", pushTokenFile), ("push-tenant", pushTenant),
    ]
    let repeated = targets.map { ("target", Optional($0)) } + pushLabels.map { ("push-label", Optional($0)) }
    // One key at a time: a message then names its option.
    for (key, value) in given + repeated {
      guard let value else { continue }
      try take(WatchConfigurationFile.apply(key: key, value: value, to: &configuration).map { "--\($0)" })
    }
    if armsNothing { configuration.arms = false }
    return configuration
  }

  private func take(_ mistakes: [String]) throws {
    if !mistakes.isEmpty { throw ValidationError(mistakes.joined(separator: "; ")) }
  }
}
