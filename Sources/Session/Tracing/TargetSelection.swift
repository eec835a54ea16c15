import AllocationTracing
import Glibc
import ProcessImage
import SystemSupport
import TextOutput

/// The running processes that the options of `leaktrace trace` select: single ones by their number, and all that match
/// a name, whenever they start.
package struct TargetSelection {
  package let processIDs: [Int32]
  package let commandNames: [String]
  package let controlGroups: [String]
  package let takesAll: Bool

  package init(processIDs: [Int32], commandNames: [String], controlGroups: [String], takesAll: Bool) {
    self.processIDs = processIDs
    self.commandNames = commandNames
    self.controlGroups = controlGroups
    self.takesAll = takesAll
  }

  /// Whether processes that start later can belong to the selection.
  package var isOpen: Bool { takesAll || !commandNames.isEmpty || !controlGroups.isEmpty }

  /// The same selection as options of `leaktrace trace`, quoted for a shell.
  package var options: String {
    var words = processIDs.map { "-p \($0)" }
    words += commandNames.map { "--comm \(shellQuoted($0))" }
    words += controlGroups.map { "--cgroup \(shellQuoted($0))" }
    if takesAll { words.append("--all") }
    return words.joined(separator: " ")
  }

  /// What to call the selection in a report; nil when it consists of single processes only.
  package var name: String? {
    if takesAll { return "all processes" }
    let groups = controlGroups.map { "control group \($0)" }
    return groups.isEmpty ? nil : groups.joined(separator: ", ")
  }

  /// A process that can be selected.
  package struct Process: Hashable, Sendable {
    package var processID: Int32
    package var command: String
    /// The paths of its control groups in all hierarchies.
    package var controlGroups: [String]

    package init(processID: Int32, command: String, controlGroups: [String]) {
      self.processID = processID
      self.command = command
      self.controlGroups = controlGroups
    }

    func isMember(of group: String) -> Bool {
      controlGroups.contains { ControlGroupPath.matches(path: $0, name: group) }
    }
  }

  /// The processes that are selected now. Each occurs once, and the single ones come first.
  ///
  /// Throws when leaktrace itself is selected by its number, or when no process matches one of the names.
  package func find() throws(Refusal) -> [Int32] { try find(among: candidates) }

  package func find(among others: [Process]) throws(Refusal) -> [Int32] {
    if processIDs.contains(getpid()) { throw Refusal("leaktrace cannot trace itself") }
    for name in commandNames where !others.contains(where: { $0.command == name }) {
      let near = Spelling.near(name, among: others.map(\.command))
      throw Refusal(
        "no process has the command name \(name)" + (near.isEmpty ? "" : "; these run: \(near.joined(separator: ", "))")
      )
    }
    for group in controlGroups where !others.contains(where: { $0.isMember(of: group) }) {
      throw Refusal("--cgroup \(group): no process is in a control group of that path or name")
    }
    var seen: Set<Int32> = []
    return (processIDs + matching(others)).filter { seen.insert($0).inserted }
  }

  /// The processes that match by a name or a control group, and not by their number.
  package func findMatching() -> [Int32] { matching(candidates) }

  /// A sentence for each target of a watch that nothing on this host matches now.
  ///
  /// - Parameter targets: as their descriptions are: `pid:42`, `unit:nginx.service`, `cgroup:/a/b`, `comm:nginx`.
  package static func warnings(about targets: [String]) -> [String] {
    if targets.isEmpty { return [] }
    let processes = runningProcesses(readingGroups: true)
    return targets.compactMap { target in
      let parts = target.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { return nil }
      var near: [String] = []
      switch parts[0] {
      case "pid": if let number = Int32(parts[1]), kill(number, 0) == 0 || errno == EPERM { return nil }
      case "comm":
        if processes.contains(where: { $0.command == parts[1] }) { return nil }
        near = Spelling.near(parts[1], among: processes.map(\.command))
      default: if processes.contains(where: { $0.isMember(of: parts[1]) }) { return nil }
      }
      return "warning: target \(target): no process matches it now"
        + (near.isEmpty ? "" : "; these run: \(near.joined(separator: ", "))")
    }
  }

  private var candidates: [Process] { Self.runningProcesses(readingGroups: !controlGroups.isEmpty) }

  private func matching(_ processes: [Process]) -> [Int32] {
    processes.filter { process in
      takesAll || commandNames.contains(process.command) || controlGroups.contains { process.isMember(of: $0) }
    }.map(\.processID)
  }

  /// All processes except kernel threads, those that have ended, and leaktrace with its helpers.
  package static func runningProcesses(readingGroups: Bool) -> [Process] {
    ProcessInfo.allProcessIDs().compactMap { processID in
      guard processID != getpid(), let info = try? ProcessInfo(processID: processID), !info.isKernelThread,
        !info.hasEnded, info.parentProcessID != getpid()
      else { return nil }
      let groups = readingGroups ? try? ControlGroupPath.readAll(processID: processID) : nil
      return Process(processID: processID, command: info.command, controlGroups: groups ?? [])
    }
  }
}
