import BPFRuntime
import Quantities

/// The children of traced processes that have not been attached to, and the map by whose entries the programs know them: a
/// held process goes on when its entry is removed.
///
/// Attaching to a child takes longer than many a child lives. A child that was not held has run already, so it is attached
/// to only when it has lived for a while; it is counted as late in any case.
final class PendingChildren {
  private let map: BPFMap
  private var waiting: [TraceEvent.Fork] = []
  /// Children that ran before their probes were attached, as far as the programs have not counted them themselves.
  var lateCount: UInt64 = 0
  /// Children that were not followed because as many processes were traced as may be.
  var refusedCount: UInt64 = 0
  /// Children that ended while they were being attached to.
  var endedCount: UInt64 = 0

  /// What a report says of children that were not followed.
  func notes(limit: Int) -> [String] {
    var notes: [String] = []
    if endedCount > 0 {
      notes.append("\(counted(endedCount, "child process", "child processes")) ended before being attached to")
    }
    if refusedCount > 0 {
      notes.append(
        "\(counted(refusedCount, "child process", "child processes")) not followed: \(groupedNumber(limit)) are traced at a time at most (--max-processes)"
      )
    }
    return notes
  }

  /// How many nanoseconds a child that was not held has to live before it is attached to.
  private static let leastAge: UInt64 = 250_000_000

  init(map: BPFMap) { self.map = map }

  /// Lets a process go on, and forgets it.
  func release(_ processID: Int32) { map.remove(UInt32(processID)) }

  /// Whether the process is still the one that the event told of, and runs the program that it ran then.
  func isPresent(_ fork: TraceEvent.Fork) -> Bool {
    map.words(for: UInt32(fork.child)).map { $0.count > 1 && $0[1] == fork.time } ?? false
  }

  /// Keeps a child for later.
  func add(_ fork: TraceEvent.Fork) { waiting.append(fork) }

  /// Takes one child that has lived long enough, or nil.
  func takeLasting(now: UInt64) -> TraceEvent.Fork? {
    var ended = 0
    defer { waiting.removeFirst(ended) }
    for fork in waiting {
      guard now &- fork.time >= Self.leastAge, fork.time <= now else { return nil }
      ended += 1
      if isPresent(fork) { return fork }
    }
    return nil
  }
}
