/// Where a host's files are: its own directories, or copies of them in a test.
package struct HostRoot: Hashable, Sendable {
  /// The directory that `/proc`, `/sys` and mount points are below; empty for the running host.
  package let prefix: String

  package init(prefix: String = "") { self.prefix = prefix }

  package static let running = HostRoot()

  package var isRunningHost: Bool { prefix.isEmpty }

  package func path(_ absolute: String) -> String { prefix + absolute }
}
