import FoundationEssentials
import ReportFormats
import TextOutput

extension PushService {
  package static let parca = PushService(
    name: "parca", title: "Parca", example: "http://10.0.0.6:7070", defaultPort: 7070, makeRequest: parcaRequest)

  /// Parca's `ProfileStoreService.WriteRaw` by way of its gateway from JSON, `POST /api/profiles/writeraw`. The profile is
  /// named `memory`, as Parca's own scraper names what it gets from a heap profile.
  @Sendable
  private static func parcaRequest(
    _ profile: [UInt8], _ origin: PushedProfile.Origin, _ prefix: String
  ) -> PushedProfile {
    let labels =
      [PushLabel(name: "__name__", value: "memory"), PushLabel(name: "comm", value: origin.command)]
      + PushedProfile.labels(of: origin)
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
    return PushedProfile(
      path: prefix + "/api/profiles/writeraw", contentType: "application/json", body: json.bytes)
  }
}
