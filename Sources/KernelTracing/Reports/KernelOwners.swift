import ProcessImage
import TraceModel

/// To which process memory is charged whose task has ended. A program that forks for each of its requests makes kernel objects
/// in children that end at once: what they leave behind is the program's, and not that of hundreds of processes with one object
/// each. A child that has become another program keeps what it asked for.
struct KernelOwners {
  /// The name and the parent of an ended process; nil when they were not kept.
  private let ended: (Int32) -> (command: String, parent: Int32)?
  /// The name of a running process; nil when there is none.
  private let running: (Int32) -> String?
  private var owners: [Int32: Int32] = [:]
  /// A chain of children that each ended before the next is not followed further.
  private static let longestChain = 64

  init(ended: @escaping (Int32) -> (command: String, parent: Int32)?, running: @escaping (Int32) -> String?) {
    self.ended = ended
    self.running = running
  }

  init(tables: KernelTables) {
    self.init(
      ended: { tables.endedProcess($0) }, running: { (try? ProcessInfo(processID: $0))?.command })
  }

  mutating func regroup(_ processes: inout [Int32: Tally]) {
    guard !processes.isEmpty else { return }
    processes = processes.reduce(into: [:]) { $0[owner(of: $1.key), default: Tally()] += $1.value }
  }

  /// The process itself while it runs; else the nearest of those that it came from by forks alone that still runs, or the last
  /// that is known.
  mutating func owner(of processID: Int32) -> Int32 {
    if let known = owners[processID] { return known }
    var owner = processID
    for _ in 0..<Self.longestChain {
      guard owner > 0, running(owner) == nil, let process = ended(owner), process.parent > 1,
        command(of: process.parent) == process.command
      else { break }
      owner = process.parent
    }
    owners[processID] = owner
    return owner
  }

  private func command(of processID: Int32) -> String? { running(processID) ?? ended(processID)?.command }
}
