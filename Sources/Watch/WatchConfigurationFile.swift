import Quantities
import SystemSupport

/// The configuration file of a watch: one `key = value` a line, `#` before a remark. Every line that is wrong is told.
package enum WatchConfigurationFile {
  package struct Mistake: Hashable, Sendable, CustomStringConvertible {
    package var line: Int
    package var text: String
    package var description: String { "line \(line): \(text)" }
  }

  /// The keys, what they are for, and how a value is taken.
  private struct Key {
    var name: String
    /// Sets the value where it is valid; returns what is wrong with it otherwise.
    var set: @Sendable (inout WatchConfiguration, String) -> String?
  }

  /// Applies the text to a configuration. Where anything is wrong nothing of it is to be used.
  package static func apply(_ text: String, to configuration: inout WatchConfiguration) -> [Mistake] {
    var mistakes: [Mistake] = []
    var seen: [String: Int] = [:]
    var result = configuration
    for (place, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = trimmed(line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0])
      if content.isEmpty { continue }
      let number = place + 1
      let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        mistakes.append(Mistake(line: number, text: "'\(shown(content))' is no 'key = value'"))
        continue
      }
      let name = trimmed(parts[0])
      guard let key = keys.first(where: { $0.name == name }) else {
        mistakes.append(
          Mistake(
            line: number, text: "there is no key '\(shown(name))': \(keys.map(\.name).sorted().joined(separator: ", "))"
          )
        )
        continue
      }
      if let earlier = seen[name], !repeated.contains(name) {
        mistakes.append(Mistake(line: number, text: "\(name) is given again, first in line \(earlier)"))
        continue
      }
      if seen[name] == nil { forget(name, in: &result) }
      seen[name] = number
      if let wrong = key.set(&result, unquoted(trimmed(parts[1]))) {
        mistakes.append(Mistake(line: number, text: "\(name): \(wrong)"))
      }
    }
    if mistakes.isEmpty { configuration = result }
    return mistakes
  }

  /// Sets one key; where several values are allowed it adds one. Returns what is wrong.
  package static func apply(key name: String, value: String, to configuration: inout WatchConfiguration) -> [String] {
    guard let key = keys.first(where: { $0.name == name }) else { return ["there is no key '\(name)'"] }
    return key.set(&configuration, value).map { ["\(name): \($0)"] } ?? []
  }

  /// Keys that can be given more than once.
  private static let repeated: Set<String> = ["target", "push-label"]

  private static func forget(_ name: String, in configuration: inout WatchConfiguration) {
    if name == "target" { configuration.targets = [] }
    if name == "push-label" { configuration.push.labels = [] }
  }

  private static let keys: [Key] = [
    Key(name: "budget") { configuration, value in
      guard let budget = share(value) else { return "'\(value)' is no share of a CPU from 0.1% to 100%" }
      configuration.budget = budget
      return nil
    },
    seconds("interval", 1...3600, \.interval), seconds("lookback", 60...604_800, \.lookback),
    seconds("retention", 3600...315_360_000, \.retention), seconds("trace-length", 2...600, \.traceLength),
    seconds("trace-every", 10...604_800, \.traceEvery), seconds("alert-every", 1...604_800, \.alertEvery),
    seconds("alert-forecast", 0...31_536_000, \.forecastThreshold),
    Key(name: "alert-growth") { configuration, value in
      guard let bytes = ByteSize.parse(value) else { return "'\(value)' is no number of bytes per hour" }
      configuration.growthThreshold = Double(bytes)
      return nil
    },
    Key(name: "history-size") { configuration, value in
      guard let bytes = ByteSize.parse(value), bytes >= 1 << 20, bytes <= 1 << 40 else {
        return "'\(value)' is no number of bytes from 1M to 1024G"
      }
      configuration.historySize = Int64(bytes)
      return nil
    },
    Key(name: "sample-bytes") { configuration, value in
      guard let bytes = ByteSize.parse(value), bytes >= 1, bytes <= 1 << 32 else {
        return "'\(value)' is no number of bytes up to 4G"
      }
      configuration.sampleBytes = bytes
      return nil
    },
    Key(name: "listen") { configuration, value in
      if value == "off" {
        configuration.listen = nil
        return nil
      }
      guard let address = ListenAddress(value) else { return "'\(value)' is neither ADDRESS:PORT nor off" }
      guard PushDestination.isNumeric(address.host) else { return "'\(address.host)' is no numeric address" }
      configuration.listen = value
      return nil
    },
    Key(name: "top") { configuration, value in
      guard let top = Int(value), (1...200).contains(top) else { return "'\(value)' is no number from 1 to 200" }
      configuration.top = top
      return nil
    },
    Key(name: "arm") { configuration, value in
      guard value == "yes" || value == "no" else { return "'\(value)' is neither yes nor no" }
      configuration.arms = value == "yes"
      return nil
    },
    Key(name: "target") { configuration, value in
      guard let target = WatchTarget(value) else {
        return "'\(value)' is none of pid:N, unit:NAME, cgroup:/PATH, comm:NAME"
      }
      configuration.targets.append(target)
      return nil
    },
    text("history", \.history), text("token-file", \.tokenFile), text("on-alert", \.onAlert),
    push("push-pyroscope", .pyroscope), push("push-parca", .parca), text("push-token-file", \.push.tokenFile),
    Key(name: "push-tenant") { configuration, value in
      // What Pyroscope allows in the identifier of a tenant.
      let others = "!-_.*'()"
      guard (1...150).contains(value.count),
        value.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || others.contains($0)) })
      else { return "'\(value)' is no tenant: up to 150 of a-z, A-Z, 0-9 and \(others)" }
      configuration.push.tenant = value
      return nil
    },
    Key(name: "push-label") { configuration, value in
      guard let label = PushLabel(value), !configuration.push.labels.contains(where: { $0.name == label.name }) else {
        return
          "'\(value)' is no NAME=VALUE with a name of its own (job, instance, reason, comm and service_name are taken)"
      }
      configuration.push.labels.append(label)
      return nil
    },
  ]

  private static func push(_ name: String, _ service: PushDestination.Service) -> Key {
    Key(name: name) { configuration, value in
      configuration.push.destinations.removeAll { $0.service == service }
      if value == "off" { return nil }
      do throws(Refusal) {
        configuration.push.destinations.append(try PushDestination(service, url: value, hosts: hostTable()))
        return nil
      } catch { return error.description }
    }
  }

  /// The text of /etc/hosts; empty where there is none.
  private static func hostTable() -> String {
    (try? String(contentsOfFile: "/etc/hosts", encoding: .utf8)) ?? ""
  }

  private static func seconds(
    _ name: String, _ range: ClosedRange<Double>, _ path: WritableKeyPath<WatchConfiguration, Double> & Sendable
  ) -> Key {
    Key(name: name) { configuration, value in
      guard let seconds = Duration(parsing: value)?.inSeconds, range.contains(seconds) else {
        return
          "'\(value)' is no length of time from \(plain(range.lowerBound)) s to \(plain(range.upperBound)) s (10s, 5m, 2h, 7d)"
      }
      configuration[keyPath: path] = seconds
      return nil
    }
  }

  private static func text(_ name: String, _ path: WritableKeyPath<WatchConfiguration, String?> & Sendable) -> Key {
    Key(name: name) { configuration, value in
      if value.isEmpty { return "a value is missing" }
      configuration[keyPath: path] = value
      return nil
    }
  }

  // MARK: Values

  /// `1%` or `0.01`.
  package static func share(_ text: String) -> Double? {
    let isPercent = text.hasSuffix("%")
    guard let number = Double(isPercent ? text.dropLast() : text[...]) else { return nil }
    let share = isPercent ? number / 100 : number
    return share >= 0.001 && share <= 1 ? share : nil
  }

  private static func plain(_ number: Double) -> String {
    number == number.rounded() ? String(Int(number)) : "\(number)"
  }

  /// As much of a line as fits into a message: the file may be anything but a configuration.
  private static func shown(_ text: String) -> String {
    String(text.prefix(60).map { $0.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f } ? "?" : $0 })
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    var text = Substring(text)
    while let last = text.last, last == " " || last == "\t" || last == "\r" { text = text.dropLast() }
    return String(text.drop { $0 == " " || $0 == "\t" })
  }

  private static func unquoted(_ text: String) -> String {
    text.count >= 2 && text.first == "\"" && text.last == "\"" ? String(text.dropFirst().dropLast()) : text
  }
}

/// `127.0.0.1:9777`, `[::1]:9777`.
package struct ListenAddress: Hashable, Sendable {
  package var host: String
  package var port: Int

  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65535).contains(port)
    else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
    } else if host.contains(":") {
      return nil
    }
    if host.isEmpty { return nil }
    self.host = host
    self.port = port
  }
}
