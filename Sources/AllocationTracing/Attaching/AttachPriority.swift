import Glibc

/// The scheduling of the thread that attaches while processes are held for it.
///
/// A held process waits on its CPU (see decision 0007). Several of them would leave only a share of the CPUs to a thread of
/// ordinary priority, and all of them would be held for longer. A real-time thread runs before them whenever they yield. The
/// kernel limits its share of the time.
struct AttachPriority: ~Copyable {
  private var isRaised = false

  /// Gives the thread priority over ordinary threads from now on. Has no effect where that is not allowed.
  mutating func raise() {
    guard !isRaised else { return }
    isRaised = set(policy: SCHED_RR | Self.resetOnFork, priority: 1)
  }

  /// Makes the thread an ordinary one again.
  mutating func restore() {
    guard isRaised else { return }
    isRaised = !set(policy: SCHED_OTHER, priority: 0)
  }

  /// SCHED_RESET_ON_FORK of sched(7): threads and processes that are started meanwhile are ordinary.
  private static let resetOnFork: Int32 = 0x4000_0000

  private func set(policy: Int32, priority: Int32) -> Bool {
    var parameters = sched_param()
    parameters.sched_priority = priority
    return sched_setscheduler(0, policy, &parameters) == 0
  }
}
