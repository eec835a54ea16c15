import TextOutput

extension PushService {
  package static let pyroscope = PushService(
    name: "pyroscope", title: "Pyroscope", example: "http://10.0.0.5:4040", defaultPort: 4040,
    makeRequest: pyroscopeRequest)

  /// Pyroscope's server API, `POST /ingest`: the body is the profile as it is, its name and labels are in the query.
  @Sendable
  private static func pyroscopeRequest(
    _ profile: [UInt8], _ origin: PushedProfile.Origin, _ prefix: String
  ) -> PushedProfile {
    // The name becomes the label service_name.
    let name = serviceName(origin.command)
    let labels = PushedProfile.labels(of: origin).map { "\($0.name)=\(labelValue($0.value))" }.joined(separator: ",")
    let query = [
      ("name", "\(name){\(labels)}"), ("from", String(Int64(origin.start))),
      ("until", String(Int64(origin.end.rounded(.up)))), ("format", "pprof"), ("spyName", "leaktrace"),
    ]
    let path =
      prefix + "/ingest?" + query.map { "\($0.0)=\(PushedProfile.percentEncoded($0.1))" }.joined(separator: "&")
    return PushedProfile(path: path, contentType: "application/octet-stream", body: profile)
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
    singleLine(value, replacing: [",": "_", "}": "_", "{": "_", "=": "_"])
  }
}
