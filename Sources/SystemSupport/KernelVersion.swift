import Glibc

/// Version of a kernel as `uname -r` begins.
package struct KernelVersion: Comparable, CustomStringConvertible, Sendable {
  package var major: Int
  package var minor: Int

  package var description: String { "\(major).\(minor)" }

  /// The first whose BPF programs can exchange values atomically, without which the table of blocks cannot be kept:
  /// before, there is only addition. Nothing can be traced on older ones.
  package static let minimum = KernelVersion(major: 5, minor: 12)

  /// The first whose BPF programs can loop as often as the walker of stacks needs to. On older ones stacks follow frame
  /// pointers only.
  package static let minimumForStacks = KernelVersion(major: 5, minor: 17)

  package static func < (left: KernelVersion, right: KernelVersion) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }

  package init(major: Int, minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// nil where the text does not begin with two numbers.
  package init?(release: some StringProtocol) {
    let numbers = release.split(separator: ".", maxSplits: 2).prefix(2).map { Int($0.prefix { $0.isNumber }) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    self.init(major: major, minor: minor)
  }

  package static var running: KernelVersion? { KernelVersion(release: runningRelease) }

  /// What `uname -r` prints.
  package static var runningRelease: String {
    var names = utsname()
    uname(&names)
    return withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
