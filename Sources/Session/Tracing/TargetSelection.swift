import AllocationTracing
import Glibc
import ProcessImage
import SystemSupport

/// The running processes that the options of `leaktrace trace` name: single ones, and all that match, whenever they start.
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

  /// Whether processes that start later can belong to it.
  package var isOpen: Bool { takesAll || !commandNames.isEmpty || !controlGroups.isEmpty }

  /// What to call it where it is not a single process; nil when it is only a list of those.
  package var name: String? {
    if takesAll { return "all processes" }
    let groups = controlGroups.map { "control group \($0)" }
    return groups.isEmpty ? nil : groups.joined(separator: ", ")
  }

  /// A process that can be selected.
  package struct Process: Hashable, Sendable {
    package var processID: Int32
    package var command: String
    /// Its paths in all hierarchies of control groups.
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

  /// The processes that match now, each once, the single ones first.
  ///
  /// Throws when leaktrace itself is named, or when nothing matches one of the names.
  package func find() throws(Refusal) -> [Int32] { try find(among: candidates) }

  package func find(among others: [Process]) throws(Refusal) -> [Int32] {
    if processIDs.contains(getpid()) { throw Refusal("leaktrace cannot trace itself") }
    for name in commandNames where !others.contains(where: { $0.command == name }) {
      throw Refusal("no process has the command name \(name)")
    }
    for group in controlGroups where !others.contains(where: { $0.isMember(of: group) }) {
      throw Refusal("--cgroup \(group): no process is in a control group of that path or name")
    }
    var seen: Set<Int32> = []
    return (processIDs + matching(others)).filter { seen.insert($0).inserted }
  }

  /// The processes that match by something else than their number.
  package func findMatching() -> [Int32] { matching(candidates) }

  private var candidates: [Process] { Self.runningProcesses(readingGroups: !controlGroups.isEmpty) }

  private func matching(_ processes: [Process]) -> [Int32] {
    processes.filter { process in
      takesAll || commandNames.contains(process.command) || controlGroups.contains { process.isMember(of: $0) }
    }.map(\.processID)
  }

  /// All but kernel threads, what has ended, and leaktrace with its helpers.
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
