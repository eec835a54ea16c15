import Glibc
import ProcessImage
import Quantities

/// Tells of traced processes that do not run: while they are stopped they allocate nothing, which looks like no leak.
enum StoppedTargets {
  /// So many processes are named one by one.
  private static let mostNamed = 3

  /// One sentence for each of the first processes, and one for the others.
  static func notes(_ processIDs: [Int32]) -> [String] {
    let roots = CgroupPath.roots()
    var notes: [String] = []
    var others = 0
    for processID in processIDs {
      guard let reason = reason(processID, roots) else { continue }
      if notes.count < mostNamed {
        notes.append("process \(processID) is stopped \(reason): it allocates and frees nothing until it goes on")
      } else {
        others += 1
      }
    }
    if others > 0 {
      notes.append("\(counted(others, "more process", "more processes")) \(others == 1 ? "is" : "are") stopped, too")
    }
    return notes
  }

  /// Why a process does not run; nil for one that does, or that has ended.
  private static func reason(_ processID: Int32, _ roots: [String]) -> String? {
    guard let info = try? ProcessInfo(processID: processID), !info.hasEnded else { return nil }
    switch info.state {
    case .stopped: return "by a signal (SIGSTOP or a terminal; kill -CONT \(processID) lets it go on)"
    case .traced: return "by its debugger"
    default: break
    }
    guard let group = frozenGroup(of: processID, roots) else { return nil }
    return "because its control group \(group) is frozen"
  }

  /// The path of a process's control group if that is frozen, in either version of control groups.
  private static func frozenGroup(of processID: Int32, _ roots: [String]) -> String? {
    for (controllers, path) in (try? ControlGroupPath.memberships(processID: processID)) ?? [] {
      if controllers.isEmpty {
        for root in roots where read("\(root)\(path)/cgroup.events")?.contains("frozen 1") == true { return path }
      } else if controllers.contains("freezer"),
        read("/sys/fs/cgroup/freezer\(path)/freezer.state")?.hasPrefix("FROZEN") == true
      {
        return path
      }
    }
    return nil
  }

  private static func read(_ path: String) -> String? {
    (try? readFile(path, limit: 1 << 16)).map { String(decoding: $0, as: UTF8.self) }
  }
}
