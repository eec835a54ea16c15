import FoundationEssentials
import Quantities
import SystemSupport

/// One setting of a watch. All that is said of it, and what a value means, stands in its entry of ``all``: it is an option
/// of the command line and, under the same name, a key of the configuration file; its value by default is that of
/// ``WatchConfiguration``. The help text, the tables of the documentation and the sample file are made from here.
package struct WatchOption: Sendable {
  package let name: String
  /// What it is for: a line without a full stop.
  package let summary: String
  /// A value for the sample file where there is none by default.
  package let example: String
  /// Whether it can be given more than once; each value is one more then.
  package var isRepeatable: Bool { clear != nil }
  /// What a watch that runs does where the value has changed, beside going by it from then on.
  package let reload: Reload
  /// Sets a value, or adds it; only where it fits. Returns what is wrong otherwise.
  package let set: @Sendable (inout WatchConfiguration, String) -> String?
  /// The values, as they are written.
  package let values: @Sendable (WatchConfiguration) -> [String]
  /// Takes all values out again; nil where there is one only.
  package let clear: (@Sendable (inout WatchConfiguration) -> Void)?

  package enum Reload: String, Sendable {
    case nothing = ""
    case trends = "trends begin anew"
    case server = "the server is opened anew"
    case history = "the history is opened anew"
    case pushing = "new destinations are opened, old ones closed"
  }

  private init(
    _ name: String, _ summary: String, example: String = "", reload: Reload = .nothing,
    values: @escaping @Sendable (WatchConfiguration) -> [String],
    clear: (@Sendable (inout WatchConfiguration) -> Void)? = nil,
    set: @escaping @Sendable (inout WatchConfiguration, String) -> String?
  ) {
    self.name = name
    self.summary = summary
    self.example = example
    self.reload = reload
    self.values = values
    self.clear = clear
    self.set = set
  }

  /// The value that it has without being given; nil for none.
  package var usual: String? { values(WatchConfiguration()).first }

  /// The line of the help text: with the value that it has by default.
  package var help: String {
    let more = isRepeatable ? "; can be repeated" : ""
    return summary + more + (usual.map { " (\($0))" } ?? "") + "."
  }

  package static func named(_ name: String) -> WatchOption? { all.first { $0.name == name } }

  /// What a change of the configuration makes a running watch do.
  package static func reloads(from old: WatchConfiguration, to new: WatchConfiguration) -> Set<Reload> {
    Set(all.filter { $0.values(old) != $0.values(new) }.map(\.reload)).subtracting([.nothing])
  }

  package static let all = ofWatching + PushService.all.map(push) + ofPushing

  private static let ofWatching: [WatchOption] = [
    WatchOption(
      "budget", "Share of one CPU that leaktrace and its probes may take", values: { [percent($0.budget)] },
      set: { configuration, value in
        guard let budget = share(value) else { return "'\(value)' is no share of a CPU from 0.1% to 100%" }
        configuration.budget = budget
        return nil
      }),
    seconds("interval", "Time between two looks at the host", 1...3600, \.interval, reload: .trends),
    seconds("lookback", "How far trends look back", 60...604_800, \.lookback, reload: .trends),
    WatchOption(
      "target", "Trace always: pid:N, unit:NAME, cgroup:/PATH or comm:NAME", example: "unit:nginx.service",
      values: { $0.targets.map(\.description) }, clear: { $0.targets = [] },
      set: { configuration, value in
        guard let target = WatchTarget(value) else {
          return "'\(value)' is none of pid:N, unit:NAME, cgroup:/PATH, comm:NAME"
        }
        configuration.targets.append(target)
        return nil
      }),
    yesOrNo("arm", "Whether what grows is traced, and not only targets: yes or no", \.arms),
    seconds("trace-length", "How long a trace lasts", 2...600, \.traceLength),
    seconds("trace-every", "Least time between two traces of one process", 10...604_800, \.traceEvery),
    WatchOption(
      "sample-bytes", "Mean bytes between samples of a trace; more where the budget asks for it",
      values: { [size($0.sampleBytes)] },
      set: { configuration, value in
        guard let bytes = ByteSize.parse(value), bytes >= 1, bytes <= 1 << 32 else {
          return "'\(value)' is no number of bytes up to 4G"
        }
        configuration.sampleBytes = bytes
        return nil
      }),
    WatchOption(
      "listen", "Address of the HTTP server, or off", reload: .server, values: { [$0.listen ?? "off"] },
      set: { configuration, value in
        if value == "off" {
          configuration.listen = nil
          return nil
        }
        guard let address = ListenAddress(value) else { return "'\(value)' is neither ADDRESS:PORT nor off" }
        guard PushDestination.isNumeric(address.host) else { return "'\(address.host)' is no numeric address" }
        configuration.listen = value
        return nil
      }),
    WatchOption(
      "socket", "Unix socket of the HTTP server, for its own user only, or off", reload: .server,
      values: { [$0.socket ?? "off"] },
      set: { configuration, value in
        guard value == "off" || value.hasPrefix("/") && value.utf8.count <= 107 else {
          return "'\(value)' is neither an absolute path of at most 107 bytes nor off"
        }
        configuration.socket = value == "off" ? nil : value
        return nil
      }),
    text(
      "token-file",
      "File with the bearer token that clients of the address must send; without one they get no profiles",
      \.tokenFile, example: "/etc/leaktrace/token"),
    WatchOption(
      "host-name", "Name by which HTTP clients know this host, beside its address", example: "db1.example.net",
      values: { $0.hostNames }, clear: { $0.hostNames = [] },
      set: { configuration, value in
        guard (1...253).contains(value.utf8.count),
          value.unicodeScalars.allSatisfy({
            ("a"..."z").contains($0) || ("A"..."Z").contains($0) || ("0"..."9").contains($0)
              || "-._".unicodeScalars.contains($0)
          })
        else { return "'\(value)' is no host name without a port" }
        configuration.hostNames.append(value)
        return nil
      }),
    yesOrNo(
      "profile-addresses", "Whether profiles tell where in memory things are: yes or no", \.hasAddressesInProfiles),
    WatchOption(
      "top", "Series of each kind that metrics name", values: { [String($0.top)] },
      set: { configuration, value in
        guard let top = Int(value), (1...200).contains(top) else { return "'\(value)' is no number from 1 to 200" }
        configuration.top = top
        return nil
      }),
    text(
      "history", "Keep the history in this file", \.history, example: "/var/lib/leaktrace/history.db", reload: .history),
    WatchOption(
      "history-size", "Greatest size of the history", reload: .history, values: { [size(UInt64($0.historySize))] },
      set: { configuration, value in
        guard let bytes = ByteSize.parse(value), bytes >= 1 << 20, bytes <= 1 << 40 else {
          return "'\(value)' is no number of bytes from 1M to 1024G"
        }
        configuration.historySize = Int64(bytes)
        return nil
      }),
    seconds("retention", "How long the history is kept", 3600...315_360_000, \.retention, reload: .history),
    text(
      "on-alert", "Run this shell command with each alert as JSON on its input", \.onAlert,
      example: "/usr/local/bin/page-somebody"),
    WatchOption(
      "alert-growth", "Growth in an hour that gives an alert", values: { [size(UInt64($0.growthThreshold))] },
      set: { configuration, value in
        guard let bytes = ByteSize.parse(value) else { return "'\(value)' is no number of bytes per hour" }
        configuration.growthThreshold = Double(bytes)
        return nil
      }),
    seconds("alert-forecast", "Time to a limit that gives an alert", 0...31_536_000, \.forecastThreshold),
    seconds("alert-every", "Time before the same alert is given again", 1...604_800, \.alertEvery),
  ]

  private static let ofPushing: [WatchOption] = [
    text(
      "push-token-file", "File with the bearer token to send with profiles", \.push.tokenFile,
      example: "/etc/leaktrace/push-token", reload: .pushing),
    WatchOption(
      "push-tenant", "Tenant of Pyroscope to send profiles for", example: "team-a", reload: .pushing,
      values: { $0.push.tenant.map { [$0] } ?? [] },
      set: { configuration, value in
        // What Pyroscope allows in the identifier of a tenant.
        let others = "!-_.*'()"
        guard (1...150).contains(value.count),
          value.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || others.contains($0)) })
        else { return "'\(value)' is no tenant: up to 150 of a-z, A-Z, 0-9 and \(others)" }
        configuration.push.tenant = value
        return nil
      }),
    WatchOption(
      "push-label", "Label of all profiles sent: NAME=VALUE", example: "region=eu-west",
      values: { $0.push.labels.map { "\($0.name)=\($0.value)" } }, clear: { $0.push.labels = [] },
      set: { configuration, value in
        guard let label = PushLabel(value), !configuration.push.labels.contains(where: { $0.name == label.name }) else {
          return
            "'\(value)' is no NAME=VALUE with a name of its own (job, instance, reason, comm and service_name are taken)"
        }
        configuration.push.labels.append(label)
        return nil
      }),
  ]

  // MARK: Kinds of values

  private static func seconds(
    _ name: String, _ summary: String, _ range: ClosedRange<Double>,
    _ path: WritableKeyPath<WatchConfiguration, Double> & Sendable, reload: Reload = .nothing
  ) -> WatchOption {
    WatchOption(
      name, summary, reload: reload, values: { [time($0[keyPath: path])] },
      set: { configuration, value in
        guard let seconds = Duration(parsing: value)?.inSeconds, range.contains(seconds) else {
          return
            "'\(value)' is no length of time from \(plain(range.lowerBound)) s to \(plain(range.upperBound)) s (10s, 5m, 2h, 7d)"
        }
        configuration[keyPath: path] = seconds
        return nil
      })
  }

  private static func yesOrNo(
    _ name: String, _ summary: String, _ path: WritableKeyPath<WatchConfiguration, Bool> & Sendable
  ) -> WatchOption {
    WatchOption(
      name, summary, values: { [$0[keyPath: path] ? "yes" : "no"] },
      set: { configuration, value in
        guard value == "yes" || value == "no" else { return "'\(value)' is neither yes nor no" }
        configuration[keyPath: path] = value == "yes"
        return nil
      })
  }

  private static func text(
    _ name: String, _ summary: String, _ path: WritableKeyPath<WatchConfiguration, String?> & Sendable,
    example: String, reload: Reload = .nothing
  ) -> WatchOption {
    WatchOption(
      name, summary, example: example, reload: reload, values: { $0[keyPath: path].map { [$0] } ?? [] },
      set: { configuration, value in
        if value.isEmpty { return "a value is missing" }
        configuration[keyPath: path] = value
        return nil
      })
  }

  private static func push(_ service: PushService) -> WatchOption {
    WatchOption(
      "push-\(service.name)", "Send each trace's profile to this \(service.title), or off", example: service.example,
      reload: .pushing,
      values: { $0.push.destinations.filter { $0.service == service }.map(\.url) },
      set: { configuration, value in
        configuration.push.destinations.removeAll { $0.service == service }
        if value == "off" { return nil }
        do throws(Refusal) {
          configuration.push.destinations.append(try PushDestination(service, url: value, hosts: hostTable()))
          return nil
        } catch { return error.description }
      })
  }

  /// The text of /etc/hosts; empty where there is none.
  private static func hostTable() -> String {
    (try? String(contentsOfFile: "/etc/hosts", encoding: .utf8)) ?? ""
  }

  // MARK: Values as they are written

  /// `1%` or `0.01`.
  package static func share(_ text: String) -> Double? {
    let isPercent = text.hasSuffix("%")
    guard let number = Double(isPercent ? text.dropLast() : text[...]) else { return nil }
    let share = isPercent ? number / 100 : number
    return share >= 0.001 && share <= 1 ? share : nil
  }

  private static func percent(_ share: Double) -> String { plain((share * 1e6).rounded() / 1e4) + "%" }

  /// In the largest unit that makes a whole number: `90m`, `2h`.
  private static func time(_ seconds: Double) -> String {
    let units = [("d", 86400.0), ("h", 3600), ("m", 60)]
    let unit = units.first { seconds >= $0.1 && seconds.truncatingRemainder(dividingBy: $0.1) == 0 } ?? ("s", 1)
    return plain(seconds / unit.1) + unit.0
  }

  /// In the largest unit that makes a whole number: `64M`.
  private static func size(_ bytes: UInt64) -> String {
    let units: [(String, UInt64)] = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]
    let unit = units.first { bytes >= $0.1 && bytes % $0.1 == 0 } ?? ("", 1)
    return "\(bytes / unit.1)\(unit.0)"
  }

  private static func plain(_ number: Double) -> String {
    number == number.rounded() ? String(Int(number)) : "\(number)"
  }
}
