import FoundationEssentials
import ReportFormats
import TextOutput

/// A profile on its way to a service: one HTTP request.
package struct PushedProfile: Hashable, Sendable {
  package var path: String
  package var contentType: String
  package var body: [UInt8]

  /// What tells a profile from others of the same time.
  package struct Origin: Hashable, Sendable {
    package var host: String
    /// Name of the command that was traced.
    package var command: String
    /// Why it was traced.
    package var reason: String
    /// Labels that the operator gives every profile.
    package var labels: [PushLabel]
    /// Seconds since 1970.
    package var start: Double
    package var end: Double

    package init(
      host: String, command: String, reason: String, labels: [PushLabel], start: Double, end: Double
    ) {
      self.host = host
      self.command = command
      self.reason = reason
      self.labels = labels
      self.start = start
      self.end = end
    }
  }

  /// - Parameter profile: pprof's form, compressed.
  package init(_ profile: [UInt8], of origin: Origin, to destination: PushDestination) {
    switch destination.service {
    case .pyroscope: self.init(pyroscope: profile, origin, destination.pathPrefix)
    case .parca: self.init(parca: profile, origin, destination.pathPrefix)
    }
  }

  /// Pyroscope's server API, `POST /ingest`: the body is the profile as it is, its name and labels are in the query.
  private init(pyroscope profile: [UInt8], _ origin: Origin, _ prefix: String) {
    // The name becomes the label service_name.
    let name = Self.serviceName(origin.command)
    let labels = Self.labels(of: origin).map { "\($0.name)=\(Self.labelValue($0.value))" }.joined(separator: ",")
    let query = [
      ("name", "\(name){\(labels)}"), ("from", String(Int64(origin.start))),
      ("until", String(Int64(origin.end.rounded(.up)))), ("format", "pprof"), ("spyName", "leaktrace"),
    ]
    path = prefix + "/ingest?" + query.map { "\($0.0)=\(Self.percentEncoded($0.1))" }.joined(separator: "&")
    contentType = "application/octet-stream"
    body = profile
  }

  /// Parca's `ProfileStoreService.WriteRaw` by way of its gateway from JSON, `POST /api/profiles/writeraw`. The profile is
  /// named `memory`, as Parca's own scraper names what it gets from a heap profile.
  private init(parca profile: [UInt8], _ origin: Origin, _ prefix: String) {
    let labels =
      [PushLabel(name: "__name__", value: "memory"), PushLabel(name: "comm", value: origin.command)]
      + Self.labels(of: origin)
    var json = JSONWriter()
    json.object { json in
      json.key("series")
      json.array(CollectionOfOne(())) { json, _ in
        json.object { json in
          json.key("labels")
          json.object { json in
            json.key("labels")
            json.array(labels) { json, label in
              json.object { json in
                json.member("name", label.name)
                json.member("value", label.value)
              }
            }
          }
          json.key("samples")
          json.array(CollectionOfOne(profile)) { json, profile in
            json.object { $0.member("rawProfile", Data(profile).base64EncodedString()) }
          }
        }
      }
    }
    path = prefix + "/api/profiles/writeraw"
    contentType = "application/json"
    body = json.bytes
  }

  /// The operator's labels come last and do not replace ours.
  private static func labels(of origin: Origin) -> [PushLabel] {
    let own = [
      PushLabel(name: "job", value: "leaktrace"), PushLabel(name: "instance", value: origin.host),
      PushLabel(name: "reason", value: origin.reason),
    ]
    return own + origin.labels
  }

  /// Pyroscope takes ASCII letters, digits, and `_.-/` in names; kernel names of commands may hold anything.
  static func serviceName(_ command: String) -> String {
    let name = String(
      command.unicodeScalars.map { scalar in
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", ".", "-", "/": Character(scalar)
        default: "_"
        }
      })
    return name.isEmpty ? "unknown" : name
  }

  /// A value ends at a comma or brace, and there is no way to escape one.
  private static func labelValue(_ value: String) -> String {
    String(value.map { $0 == "," || $0 == "}" || $0 == "{" || $0 == "=" ? "_" : $0 })
  }

  /// RFC 3986: everything but unreserved characters.
  private static func percentEncoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        result += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return result
  }
}

/// A label that the operator gives all profiles of a host: `region=eu`.
package struct PushLabel: Hashable, Sendable {
  package var name: String
  package var value: String

  package init(name: String, value: String) {
    self.name = name
    self.value = value
  }

  /// `NAME=VALUE`; nil where a service would not take it or it would hide one of ours.
  package init?(_ text: String) {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, let first = parts[0].first, first.isASCII, first.isLetter || first == "_",
      parts[0].allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }), !parts[0].hasPrefix("__"),
      !["job", "instance", "reason", "comm", "service_name"].contains(parts[0]),
      !parts[1].contains(where: { ",{}=".contains($0) }), parts[1].unicodeScalars.allSatisfy({ $0.value >= 0x20 })
    else { return nil }
    self.init(name: parts[0], value: parts[1])
  }
}
