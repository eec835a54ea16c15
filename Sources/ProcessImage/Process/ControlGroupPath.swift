/// Where a process is in the hierarchy of control groups.
package enum ControlGroupPath {
  /// Its path in the memory controller's hierarchy where there are hierarchies of version 1, in the unified one elsewhere.
  /// Throws with `isProcessGone` when there is no such process.
  package static func read(processID: Int32) throws(ProcessError) -> String? {
    parse(try readFile("/proc/\(processID)/cgroup"))
  }

  /// Its paths in all hierarchies. Throws with `isProcessGone` when there is no such process.
  package static func readAll(processID: Int32) throws(ProcessError) -> [String] {
    parseAll(try readFile("/proc/\(processID)/cgroup"))
  }

  /// Whether a path is that of a control group, or below it.
  ///
  /// - Parameter name: its path in the hierarchy (`/system.slice/web.service`), the directory of it
  ///   (`/sys/fs/cgroup/system.slice/web.service`), the name of a unit (`web.service`), or the id of a container of which
  ///   at least 12 digits are given.
  package static func matches(path: String, name: String) -> Bool {
    let parts = path.split(separator: "/")
    let wanted = name.split(separator: "/")
    guard let last = wanted.last else { return name == "/" }
    if name.hasPrefix("/") {
      if parts.starts(with: wanted) { return true }
      // Below the mount point, behind which a hierarchy of version 1 has its name.
      guard wanted.starts(with: ["sys", "fs", "cgroup"]), wanted.count > 3 else { return false }
      return parts.starts(with: wanted.dropFirst(3)) || (wanted.count > 4 && parts.starts(with: wanted.dropFirst(4)))
    }
    if wanted.count > 1 { return parts.starts(with: wanted) }
    return parts.contains { part in
      if part == last { return true }
      guard last.utf8.count >= 12, last.allSatisfy(\.isHexDigit) else { return false }
      // docker-ID.scope, cri-containerd-ID.scope, libpod-ID.scope, or the id alone.
      let id = part.split(separator: "-").last ?? part
      return id.hasPrefix(last)
    }
  }

  static func parseAll(_ text: [UInt8]) -> [String] {
    text.split(separator: 0x0a).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      return fields.count == 3 ? String(decoding: fields[2], as: UTF8.self) : nil
    }
  }

  /// Parses /proc/PID/cgroup: lines of `hierarchy:controllers:path`.
  static func parse(_ text: [UInt8]) -> String? {
    var unified: String?
    for line in text.split(separator: 0x0a) {
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let path = String(decoding: fields[2], as: UTF8.self)
      if fields[1].split(separator: UInt8(ascii: ",")).contains(where: { $0.elementsEqual("memory".utf8) }) {
        return path
      }
      if fields[1].isEmpty { unified = path }
    }
    return unified
  }
}
