/// Where a process is in the hierarchy of control groups.
package enum ControlGroupPath {
  /// The path of the process's control group: in the hierarchy of the memory controller where there are hierarchies of
  /// version 1, and in the unified one elsewhere. Throws an error with `isProcessGone` when there is no such process.
  package static func read(processID: Int32) throws(ProcessError) -> String? {
    parse(try readFile("/proc/\(processID)/cgroup"))
  }

  /// The paths of the process's control groups in all hierarchies. Throws an error with `isProcessGone` when there is
  /// no such process.
  package static func readAll(processID: Int32) throws(ProcessError) -> [String] {
    parseAll(try readFile("/proc/\(processID)/cgroup"))
  }

  /// Whether a path is that of a certain control group, or of a group below it.
  ///
  /// - Parameter name: names the control group by its path in the hierarchy (`/system.slice/web.service`), by its
  ///   directory (`/sys/fs/cgroup/system.slice/web.service`), by the name of a unit (`web.service`), or by the id of a
  ///   container, of which at least 12 digits have to be given.
  package static func matches(path: String, name: String) -> Bool {
    let parts = path.split(separator: "/")
    let wanted = name.split(separator: "/")
    guard let last = wanted.last else { return name == "/" }
    if name.hasPrefix("/") {
      if parts.starts(with: wanted) { return true }
      // The path follows the mount point. In a hierarchy of version 1, the name of the hierarchy comes in between.
      guard wanted.starts(with: ["sys", "fs", "cgroup"]), wanted.count > 3 else { return false }
      return parts.starts(with: wanted.dropFirst(3)) || (wanted.count > 4 && parts.starts(with: wanted.dropFirst(4)))
    }
    if wanted.count > 1 { return parts.starts(with: wanted) }
    return parts.contains { part in
      if part == last { return true }
      guard last.utf8.count >= 12, last.allSatisfy(\.isHexDigit) else { return false }
      // A container's group is called docker-ID.scope, cri-containerd-ID.scope or libpod-ID.scope, or has the id alone
      // as its name.
      let id = part.split(separator: "-").last ?? part
      return id.hasPrefix(last)
    }
  }

  /// The process's control group in each hierarchy: the hierarchy's controllers, none for the unified one, and the path.
  /// Throws an error with `isProcessGone` when there is no such process.
  package static func memberships(processID: Int32) throws(ProcessError) -> [(controllers: [String], path: String)] {
    memberships(try readFile("/proc/\(processID)/cgroup"))
  }

  /// Parses /proc/PID/cgroup: lines of `hierarchy:controllers:path`.
  static func memberships(_ text: [UInt8]) -> [(controllers: [String], path: String)] {
    text.split(separator: 0x0a).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let controllers = fields[1].split(separator: UInt8(ascii: ",")).map { String(decoding: $0, as: UTF8.self) }
      return (controllers, String(decoding: fields[2], as: UTF8.self))
    }
  }

  static func parseAll(_ text: [UInt8]) -> [String] { memberships(text).map(\.path) }

  static func parse(_ text: [UInt8]) -> String? {
    let memberships = memberships(text)
    let ofMemory = memberships.first { $0.controllers.contains("memory") }
    return (ofMemory ?? memberships.last { $0.controllers.isEmpty })?.path
  }
}
