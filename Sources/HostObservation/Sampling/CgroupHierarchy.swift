import Glibc

/// The directories in which the kernel shows memory by control group.
package struct CgroupHierarchy: Hashable, Sendable {
  package enum Version: Int, Hashable, Sendable {
    case v1 = 1
    case v2 = 2
  }
  package var version: Version
  /// The path as the host knows it; in a test without the prefix of its directory.
  package var mountPoint: String

  /// Groups deeper than this, and more groups than this, are left out: a group can hold as many groups as it likes.
  private static let deepest = 12
  private static let most = 20_000

  package init(version: Version, mountPoint: String) {
    self.version = version
    self.mountPoint = mountPoint
  }

  /// - Parameter mounts: text of /proc/self/mounts.
  /// - Returns: the hierarchy with the memory controller; nil where there is none. On a host with both, version 2 has it only
  ///   if `hasMemory` says so of its root.
  package static func find(mounts: String, hasMemory: (_ mountPoint: String) -> Bool) -> CgroupHierarchy? {
    var found: CgroupHierarchy?
    for line in mounts.split(separator: "\n") {
      // DEVICE MOUNTPOINT TYPE OPTIONS …
      let fields = line.split(separator: " ")
      guard fields.count >= 4 else { continue }
      let mountPoint = String(fields[1])
      if fields[2] == "cgroup", fields[3].split(separator: ",").contains("memory") {
        return CgroupHierarchy(version: .v1, mountPoint: mountPoint)
      }
      if fields[2] == "cgroup2", found == nil, hasMemory(mountPoint) {
        found = CgroupHierarchy(version: .v2, mountPoint: mountPoint)
      }
    }
    return found
  }

  package static func find(root: HostRoot, reader: FileReader) -> CgroupHierarchy? {
    guard let mounts = reader.text(root.path("/proc/self/mounts")) else { return nil }
    return find(mounts: mounts) { mountPoint in
      let text = reader.text(root.path(mountPoint + "/cgroup.controllers")) ?? ""
      return text.split(whereSeparator: { $0 == " " || $0 == "\n" }).contains("memory")
    }
  }

  /// Paths of all groups below the root, which itself is left out: it is the host.
  package func paths(root: HostRoot) -> [String] {
    var result: [String] = []
    var pending: [(path: String, depth: Int)] = [("", 0)]
    while let (path, depth) = pending.popLast(), result.count < Self.most {
      guard let directory = opendir(root.path(mountPoint + path)) else { continue }
      defer { closedir(directory) }
      while let entry = readdir(directory) {
        guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
          String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name == "." || name == ".." { continue }
        result.append(path + "/" + name)
        if depth < Self.deepest { pending.append((path + "/" + name, depth + 1)) }
      }
    }
    return result
  }

  /// - Returns: nil for a group that is gone or has no memory controller.
  package func memory(of path: String, root: HostRoot, reader: FileReader) -> CgroupMemory? {
    let directory = root.path(mountPoint + path)
    func number(_ file: String) -> UInt64? {
      reader.read("\(directory)/\(file)") { ProcText.soleNumber($0) } ?? nil
    }
    switch version {
    case .v2:
      guard let usage = number("memory.current") else { return nil }
      var memory = CgroupMemory(path: path, usage: usage)
      _ = reader.read("\(directory)/memory.stat") { memory.readStatistics(v2: $0) }
      _ = reader.read("\(directory)/memory.events") { memory.readEvents(v2: $0) }
      memory.limit = number("memory.max")
      memory.softLimit = number("memory.high")
      memory.swap = number("memory.swap.current") ?? 0
      return memory
    case .v1:
      guard let usage = number("memory.usage_in_bytes") else { return nil }
      var memory = CgroupMemory(path: path, usage: usage)
      let kernel = number("memory.kmem.usage_in_bytes") ?? 0
      _ = reader.read("\(directory)/memory.stat") { memory.readStatistics(v1: $0, kernelUsage: kernel) }
      memory.setLimit(v1: number("memory.limit_in_bytes"))
      memory.limitHits = number("memory.failcnt") ?? 0
      _ = reader.read("\(directory)/memory.oom_control") { text in
        ProcText.forEachField(text) { name, value in
          if ProcText.equals(name, "oom_kill") { memory.oomKills = value }
        }
      }
      return memory
    }
  }

  /// The path of a process's group in this hierarchy, from the text of /proc/PID/cgroup.
  package func path(processCgroups text: Bytes) -> String? {
    var result: String?
    ProcText.forEachLine(text) { line in
      // NUMBER:CONTROLLERS:PATH; version 2 is number 0 without controllers.
      guard let first = line.firstIndex(of: 0x3a), let second = line[(first + 1)...].firstIndex(of: 0x3a) else {
        return
      }
      let controllers = String(decoding: line[(first + 1)..<second], as: UTF8.self)
      let isOurs =
        version == .v2 ? controllers.isEmpty : controllers.split(separator: ",").contains("memory")
      if isOurs { result = String(decoding: line[(second + 1)...], as: UTF8.self) }
    }
    return result == "/" ? "" : result
  }
}
