import AllocationTracing
import Glibc
import ProcessImage

/// Finds the directory of a control group of the unified hierarchy (cgroup v2).
package enum CgroupPath {
  /// - Parameter name: the path of its directory, or its path below the root of the hierarchy as /proc/PID/cgroup has it.
  package static func directory(named name: String) throws(TraceError) -> String {
    let text = (try? readFile("/proc/self/mountinfo")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let roots = mountPoints(mountinfo: text)
    guard let root = roots.first else {
      throw TraceError("--cgroup \(name): no cgroup v2 hierarchy is mounted on this host")
    }
    let isBelow = roots.contains { name == $0 || name.hasPrefix($0 + "/") }
    let parts = name.split(separator: "/").map(String.init)
    let path = isBelow ? name : ([root] + parts).joined(separator: "/")
    var status = stat()
    guard !parts.contains(".."), stat(path + "/cgroup.procs", &status) == 0 else {
      throw TraceError("--cgroup \(name): there is no cgroup \(path)")
    }
    return path
  }

  /// Where hierarchies of version 2 are mounted, from the text of mountinfo.
  package static func mountPoints(mountinfo: String) -> [String] {
    mountinfo.split(separator: "\n").compactMap { line in
      // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS… - TYPE SOURCE OPTIONS
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count, fields[dash + 1] == "cgroup2",
        fields.count > 4
      else { return nil }
      return String(fields[4])
    }
  }
}
