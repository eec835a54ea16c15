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
    self = destination.service.makeRequest(profile, origin, destination.pathPrefix)
  }

  init(path: String, contentType: String, body: [UInt8]) {
    self.path = path
    self.contentType = contentType
    self.body = body
  }

  /// The operator's labels come last and do not replace ours.
  static func labels(of origin: Origin) -> [PushLabel] {
    let own = [
      PushLabel(name: "job", value: "leaktrace"), PushLabel(name: "instance", value: origin.host),
      PushLabel(name: "reason", value: origin.reason),
    ]
    return own + origin.labels
  }

  /// RFC 3986: everything but unreserved characters.
  static func percentEncoded(_ text: String) -> String {
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
      parts[1].unicodeScalars.allSatisfy({ $0.value >= 0x20 && !",{}=".unicodeScalars.contains($0) })
    else { return nil }
    self.init(name: parts[0], value: parts[1])
  }
}
