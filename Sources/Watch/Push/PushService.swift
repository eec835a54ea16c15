/// A kind of service that stores profiles. All that is said of it stands in its entry of ``all``: the option and key
/// `push-NAME`, the labels of its metrics, and the request that it takes.
package struct PushService: Hashable, Sendable {
  /// In lower case, for options, metrics and logs.
  package let name: String
  /// What people call it.
  let title: String
  /// A URL for the sample file.
  let example: String
  /// Where it listens unless it is told otherwise.
  let defaultPort: Int
  /// The request that brings it a profile.
  ///
  /// - Parameters: the profile in pprof's form, compressed; what tells it from others; what comes before the service's own
  ///   path, empty or with a slash before it.
  let makeRequest: @Sendable ([UInt8], PushedProfile.Origin, String) -> PushedProfile

  /// Every service, in the order of options and metrics.
  package static let all: [PushService] = [.pyroscope, .parca]

  package static func == (one: PushService, other: PushService) -> Bool { one.name == other.name }
  package func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
