import Glibc

/// The scheduling of a thread for which something stands still: a process that waits for its probes, or one that is stopped while it
/// is searched.
///
/// On a busy host a thread of ordinary priority gets a share of the CPUs only, and what stands still would do so for longer. A
/// real-time thread runs before them whenever they yield. The kernel limits its share of the time.
package struct RealTimePriority: ~Copyable {
  package enum Level: Int32 {
    /// Whoever does the work.
    case worker = 1
    /// Whoever ends the wait when its time is over, finished or not.
    case warden = 2
  }

  private let level: Level
  private let isInherited: Bool
  /// What the thread had before; nil unless it is raised.
  private var usual: (policy: Int32, priority: Int32)?

  /// - Parameter isInherited: whether threads that the thread starts meanwhile get the priority, too. They have to end before it
  ///   is given up.
  package init(_ level: Level, isInherited: Bool = false) {
    self.level = level
    self.isInherited = isInherited
  }

  /// Gives the calling thread priority over ordinary threads from now on. Has no effect where that is not allowed.
  package mutating func raise() {
    guard usual == nil else { return }
    var parameters = sched_param()
    let policy = sched_getscheduler(0)
    guard policy >= 0, sched_getparam(0, &parameters) == 0 else { return }
    let before = (policy, parameters.sched_priority)
    if Self.set(policy: SCHED_RR | (isInherited ? 0 : Self.resetOnFork), priority: level.rawValue) { usual = before }
  }

  /// Gives the thread back what it had. To be called in the thread that called `raise`.
  package mutating func restore() {
    guard let before = usual else { return }
    if Self.set(policy: before.policy, priority: before.priority) { usual = nil }
  }

  /// SCHED_RESET_ON_FORK of sched(7): threads and processes that are started meanwhile are ordinary.
  private static let resetOnFork: Int32 = 0x4000_0000

  private static func set(policy: Int32, priority: Int32) -> Bool {
    var parameters = sched_param()
    parameters.sched_priority = priority
    return sched_setscheduler(0, policy, &parameters) == 0
  }
}
