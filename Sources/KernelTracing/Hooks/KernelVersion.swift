import Glibc

/// Version of a kernel as `uname -r` begins.
struct KernelVersion: Comparable, CustomStringConvertible {
  var major: Int
  var minor: Int

  var description: String { "\(major).\(minor)" }

  /// The first whose BPF programs can exchange values atomically, without which the table of blocks cannot be kept:
  /// before, there is only addition.
  static let minimum = KernelVersion(major: 5, minor: 12)

  static func < (left: KernelVersion, right: KernelVersion) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }

  init(major: Int, minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// nil where the text does not begin with two numbers.
  init?(release: some StringProtocol) {
    let numbers = release.split(separator: ".", maxSplits: 2).prefix(2).map { Int($0.prefix { $0.isNumber }) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    self.init(major: major, minor: minor)
  }

  static var running: KernelVersion? {
    var names = utsname()
    uname(&names)
    let release = withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return KernelVersion(release: release)
  }

  /// Throws what to tell the user where the kernel is too old; an unknown version is left to the kernel to refuse.
  static func require(_ version: KernelVersion?) throws(KernelTraceError) {
    guard let version, version < minimum else { return }
    throw KernelTraceError(
      "tracing the kernel needs Linux \(minimum) or later, and this is \(version): its BPF programs have no atomic "
        + "exchange; `leaktrace kernel --where` does without")
  }
}
