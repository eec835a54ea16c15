import AllocationTracing
import ArgumentParser
import Glibc
import Session
import SystemSupport
import Watch
import WatchService

/// `leaktrace watch`: its options. Whatever they do not set is taken from the configuration file.
struct WatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Watches the host without end, inside an overhead budget: history, metrics for Prometheus, alerts.",
    discussion: """
      Follows the sizes of processes, control groups and the kernel's memory, and traces by itself, sampled and for a \
      short while, what grows, and every --target. SIGHUP reads the configuration file again, SIGTERM ends the watch. \
      Needs root, or the capabilities that leaktrace-watch.service grants.
      """)

  @Option(help: "Configuration file: 'key = value' lines with the names of the settings.")
  var config: String?

  @OptionGroup(title: "Settings") var settings: WatchSettings

  @Flag(name: .customLong("no-arm"), help: "Trace only --target, not what grows: as --arm no.")
  var armsNothing = false

  @Flag(name: .customLong("check-config"), help: "Say whether the configuration is right, and end.")
  var onlyChecks = false

  mutating func validate() throws { _ = try watchConfiguration() }

  mutating func run() throws {
    let configuration = try watchConfiguration()
    if onlyChecks {
      for warning in TargetSelection.warnings(about: configuration.targets.map(\.description)) { complain(warning) }
      try printAll(Array("the configuration is right\n".utf8))
      return
    }
    let daemon = try WatchDaemon(
      configuration: configuration, version: LeakTrace.configuration.version, environment: .running(),
      reload: { [self] in
        do { return try watchConfiguration() } catch { throw Refusal(Self.message(for: error)) }
      })
    let code = try daemon.run()
    if code != 0 { throw ExitCode(code) }
  }

  /// Makes the configuration from the file and the options. Throws an error with all mistakes in the file, or with the
  /// first one on the command line.
  private func watchConfiguration() throws -> WatchConfiguration {
    var configuration = WatchConfiguration()
    if let config {
      let text: String
      do throws(Refusal) { text = String(decoding: try TrustedFile.read(config), as: UTF8.self) } catch {
        throw ValidationError("--config \(config) cannot be read: \(error)")
      }
      try take(WatchConfigurationFile.apply(text, to: &configuration).map { "\(config), \($0)" })
    }
    for (option, values) in settings.given {
      for value in values {
        try take(
          WatchConfigurationFile.apply(key: option.name, value: value, to: &configuration).map { "--\($0)" })
      }
    }
    if armsNothing { configuration.arms = false }
    return configuration
  }

  private func take(_ mistakes: [String]) throws {
    if !mistakes.isEmpty { throw ValidationError(mistakes.joined(separator: "; ")) }
  }
}
