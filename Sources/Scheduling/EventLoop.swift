import CProcessControl
import Glibc

/// Waits for everything that a command reacts to (signals, descriptors, moments), and lets the command react in the
/// calling thread.
///
/// Each registered reaction is a step. One turn of the loop waits until there is something to do, and then takes the
/// steps in the order in which they were registered. So the order of registration is the order of precedence: when a
/// step ends the loop, the steps behind it are not taken.
package final class EventLoop {
  package typealias Instant = ContinuousClock.Instant

  package let clock: any HostClock
  /// The longest time between two turns, even if nothing happens. nil: a turn may wait for ever.
  package var longestWait: Duration?
  private let signals: Int32
  private var steps: [Step] = []
  /// The descriptors that the last wait has found ready.
  private var ready: Set<Int32> = []
  private var outcome: Int32?

  private struct Step {
    var descriptors: () -> [Int32] = { [] }
    var moment: () -> Instant? = { nil }
    var take: () throws -> Void
  }

  /// - Parameter signals: the signals that this loop handles from now on, in place of their usual effect on the
  ///   process. They are blocked in the calling thread and in those that it starts later; a thread that was started
  ///   before can still get them.
  package init(signals: [Int32] = [], clock: any HostClock = SystemClock()) {
    self.clock = clock
    self.signals = signals.isEmpty ? -1 : cprocess_signal_descriptor(signals, Int32(signals.count))
  }

  deinit { if signals >= 0 { close(signals) } }

  /// From now on a thread sees to it that a signal which ends the command is heard while a step takes long: after a second it
  /// says so, and if the loop does not come to take the signal, it ends the process. Not to be called before the guardian has
  /// been started.
  package func startHearing() {
    if signals >= 0 { cprocess_hear_signals(signals) }
  }

  // MARK: Steps

  /// Adds a step that is taken in every turn.
  ///
  /// - Parameters:
  ///   - descriptors: a turn begins when one of them can be read. The closure is called again before each wait.
  ///   - moment: a turn begins when this moment comes. The closure is called again before each wait.
  package func onTurn(
    watching descriptors: @escaping () -> [Int32] = { [] }, until moment: @escaping () -> Instant? = { nil },
    take: @escaping () throws -> Void
  ) {
    steps.append(Step(descriptors: descriptors, moment: moment, take: take))
  }

  /// Adds a step that is taken in turns in which a descriptor can be read or its other end has been closed.
  package func onReadable(_ descriptor: Int32, _ take: @escaping () throws -> Void) {
    steps.append(
      Step(
        descriptors: { [descriptor] },
        take: { [unowned self] in
          if ready.contains(descriptor) { try take() }
        }))
  }

  /// Adds a step that is taken in turns in which one of the loop's signals has come. It is given the number of the
  /// signal, and is taken in a turn of its own for each one.
  package func onSignal(_ take: @escaping (Int32) throws -> Void) {
    guard signals >= 0 else { return }
    steps.append(
      Step(
        descriptors: { [signals] in [signals] },
        take: { [signals] in
          let signal = cprocess_next_signal(signals)
          if signal > 0 { try take(signal) }
        }))
  }

  /// A moment at which a step is to be taken.
  package final class Timer {
    /// nil: the step is not taken until somebody sets a moment.
    package var due: Instant?

    package init(due: Instant? = nil) { self.due = due }
  }

  /// Adds a step that is taken in the turn in which the timer's moment has come. The step is given that moment, and
  /// returns the moment at which it is to be taken next; after nil it is not taken until somebody sets the timer.
  package func onTimer(_ timer: Timer, _ take: @escaping (Instant) throws -> Instant?) {
    steps.append(
      Step(
        moment: { timer.due },
        take: { [clock] in
          guard let due = timer.due, due <= clock.now else { return }
          timer.due = try take(due)
        }))
  }

  /// Adds a step that is taken for the first time at the given moment.
  package func onTimer(due: Instant, _ take: @escaping (Instant) throws -> Instant?) {
    onTimer(Timer(due: due), take)
  }

  /// The next moment after `now` in a schedule that goes on from `moment` in steps of `interval`. Moments that were
  /// missed are left out, and the schedule does not drift.
  package static func next(after moment: Instant, by interval: Duration, now: Instant) -> Instant {
    precondition(interval > .zero)
    var next = moment + interval
    if next <= now { next += interval * ((now - next) / interval).rounded(.down) }
    while next <= now { next += interval }
    return next
  }

  // MARK: Running

  /// Ends the loop within this turn. If it is called more than once, the first outcome counts.
  package func end(_ outcome: Int32 = 0) { if self.outcome == nil { self.outcome = outcome } }

  /// Takes turns until a step ends the loop, and returns the outcome. An error that a step throws ends the loop, too.
  package func run() throws -> Int32 {
    outcome = nil
    while true {
      if let outcome = try turn(until: nil) { return outcome }
    }
  }

  /// Takes turns until a step ends the loop or the given moment has come, but at least one turn. Returns the outcome,
  /// or nil when the time is up.
  package func run(until moment: Instant) throws -> Int32? {
    outcome = nil
    repeat {
      if let outcome = try turn(until: moment) { return outcome }
    } while clock.now < moment
    return nil
  }

  /// Takes one turn. Returns the outcome if this was the last turn, and nil otherwise.
  private func turn(until end: Instant?) throws -> Int32? {
    var moments = steps.compactMap { $0.moment() }
    if let end { moments.append(end) }
    if let longestWait { moments.append(clock.now + longestWait) }
    // A step may name a descriptor that is not there (a negative number). poll ignores it.
    var descriptors = Set(steps.flatMap { $0.descriptors() }).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    clock.wait(for: &descriptors, until: moments.min())
    ready = Set(descriptors.filter { $0.revents != 0 }.map(\.fd))
    for step in steps {
      try step.take()
      if let outcome { return outcome }
    }
    return nil
  }
}
