import AllocationTracing
import Glibc
import ProcessImage
import SystemSupport

/// Finds the directory of a control group of the unified hierarchy (cgroup v2).
package enum CgroupPath {
  /// The directory of the one control group that has a given name.
  ///
  /// - Parameters:
  ///   - name: the path of the group's directory, its path below the root of the hierarchy as in /proc/PID/cgroup, the
  ///     name of a unit, or the id of a container (see ``ControlGroupPath/matches(path:name:)``).
  ///   - roots: the directories at which hierarchies of version 2 are mounted.
  package static func directory(named name: String, roots: [String]) throws(Refusal) -> String {
    guard let root = roots.first else {
      throw Refusal("--cgroup \(name): no cgroup v2 hierarchy is mounted on this host")
    }
    let isBelow = roots.contains { name == $0 || name.hasPrefix($0 + "/") }
    let parts = name.split(separator: "/").map(String.init)
    let path = isBelow ? name : ([root] + parts).joined(separator: "/")
    if !parts.contains(".."), isGroup(path) { return path }
    guard !name.contains("/") else { throw Refusal("--cgroup \(name): there is no cgroup \(path)") }
    let found = groups(named: name, below: root)
    guard let only = found.first else {
      throw Refusal("--cgroup \(name): there is no control group of that path or name")
    }
    guard found.count == 1 else {
      throw Refusal(
        "--cgroup \(name): \(found.count) control groups have that name, name one by its path: "
          + found.prefix(5).joined(separator: ", "))
    }
    return only
  }

  /// The directories at which hierarchies of version 2 are mounted on this host.
  package static func roots() -> [String] {
    mountPoints(mountinfo: (try? readFile("/proc/self/mountinfo")).map { String(decoding: $0, as: UTF8.self) } ?? "")
  }

  /// The directories at which hierarchies of version 2 are mounted, from the text of a mountinfo file.
  package static func mountPoints(mountinfo: String) -> [String] {
    MountInfo.parse(mountinfo).filter { $0.type == "cgroup2" }.map(\.mountPoint)
  }

  private static func isGroup(_ path: String) -> Bool {
    var status = stat()
    return stat(path + "/cgroup.procs", &status) == 0
  }

  /// How deep below the root groups are searched.
  private static let greatestDepth = 32

  /// The groups that belong to a unit or container, in the order of their paths, without the groups inside of them.
  private static func groups(named name: String, below directory: String, depth: Int = 0) -> [String] {
    guard depth < greatestDepth else { return [] }
    return subdirectories(of: directory).flatMap { part -> [String] in
      let path = "\(directory)/\(part)"
      guard isGroup(path) else { return [] }
      if ControlGroupPath.matches(path: "/" + part, name: name) { return [path] }
      return groups(named: name, below: path, depth: depth + 1)
    }
  }

  private static func subdirectories(of path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}
