/// A limit that growing memory runs into.
package struct MemoryLimit: Hashable, Sendable {
  /// Bytes that can still be taken.
  package var left: UInt64
  /// `memory limit of /a/b`, `MemAvailable`, `ulimit`, `size of /tmp`.
  package var name: String

  package init(left: UInt64, name: String) {
    self.left = left
    self.name = name
  }

  /// Limits of a control group and of every group around it.
  ///
  /// - Parameters:
  ///   - hostBytes: all memory of the host; a limit that is not below it limits nothing.
  ///   - memory: looks a group up by its path.
  static func ofGroups(
    _ path: String?, hostBytes: UInt64, memory: (String) -> CgroupMemory?
  ) -> [MemoryLimit] {
    guard var path else { return [] }
    var limits: [MemoryLimit] = []
    while !path.isEmpty {
      if let group = memory(path), let limit = group.limit, limit < max(hostBytes, 1) {
        // File cache gives way before the limit bites.
        limits.append(MemoryLimit(left: limit - min(limit, group.unreclaimable), name: "memory limit of \(path)"))
      }
      path = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }
    return limits
  }
}

extension HostSampler {
  /// The limit that processes meet first when they grow, of those that `GrowthRanking` uses: of their control groups, their
  /// own, and what the host has left. nil where the host does not tell what it has.
  ///
  /// - Parameter processIDs: those that run; of none it is what the host has left.
  package func nearestLimit(of processIDs: some Sequence<Int32>) -> MemoryLimit? {
    guard let (total, available) = hostMemory() else { return nil }
    var limits = [MemoryLimit(left: available, name: "MemAvailable")]
    var groups: Set<String> = []
    for processID in processIDs {
      if let most = memoryLimit(of: processID), let bytes = process(processID)?.charged {
        limits.append(MemoryLimit(left: most - min(most, bytes), name: "ulimit"))
      }
      if let group = cgroup(of: processID) { groups.insert(group) }
    }
    for group in groups {
      limits += MemoryLimit.ofGroups(group, hostBytes: total) { path in
        hierarchy?.memory(of: path, root: root, reader: reader)
      }
    }
    return limits.min { ($0.left, $0.name) < ($1.left, $1.name) }
  }

  /// All memory of the host and what can still be taken, in bytes.
  private func hostMemory() -> (total: UInt64, available: UInt64)? {
    var total: UInt64?
    var available: UInt64?
    _ = reader.read(root.path("/proc/meminfo")) { text in
      ProcText.forEachField(text) { name, value in
        if ProcText.equals(name, "MemTotal") { total = value.kibibytes }
        if ProcText.equals(name, "MemAvailable") { available = value.kibibytes }
      }
    }
    guard let total, let available else { return nil }
    return (total, available)
  }
}
