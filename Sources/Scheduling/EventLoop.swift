import CProcessControl
import Glibc

/// Waits for all that a command reacts to (signals, descriptors, moments) and lets it react, on the calling thread.
///
/// Each reaction that is registered is a step. A turn of the loop waits until there is something to do and then takes the
/// steps in the order of their registration, which so is their order of precedence: a step that ends the loop leaves out
/// those behind it.
package final class EventLoop {
  package typealias Instant = ContinuousClock.Instant

  package let clock: any HostClock
  /// However quiet it is, a turn begins after so long; nil: it may wait for ever.
  package var longestWait: Duration?
  private let signals: Int32
  private var steps: [Step] = []
  /// What the last wait has found ready.
  private var ready: Set<Int32> = []
  private var outcome: Int32?

  private struct Step {
    var descriptors: () -> [Int32] = { [] }
    var moment: () -> Instant? = { nil }
    var take: () throws -> Void
  }

  /// - Parameter signals: handled by this loop from now on, instead of having their usual effect on the process. Threads
  ///   that were begun before are not kept from them.
  package init(signals: [Int32] = [], clock: any HostClock = SystemClock()) {
    self.clock = clock
    self.signals = signals.isEmpty ? -1 : cprocess_signal_descriptor(signals, Int32(signals.count))
  }

  deinit { if signals >= 0 { close(signals) } }

  // MARK: Steps

  /// A step of every turn.
  ///
  /// - Parameters:
  ///   - descriptors: whatever can be read from them begins a turn; asked anew before each wait.
  ///   - moment: begins a turn, too; asked anew before each wait.
  package func onTurn(
    watching descriptors: @escaping () -> [Int32] = { [] }, until moment: @escaping () -> Instant? = { nil },
    take: @escaping () throws -> Void
  ) {
    steps.append(Step(descriptors: descriptors, moment: moment, take: take))
  }

  /// A step of turns in which a descriptor has something to be read, or its other end is gone.
  package func onReadable(_ descriptor: Int32, _ take: @escaping () throws -> Void) {
    steps.append(
      Step(
        descriptors: { [descriptor] },
        take: { [unowned self] in
          if ready.contains(descriptor) { try take() }
        }))
  }

  /// A step of turns in which one of the loop's signals has come, with its number; of several each has its turn.
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

  /// A moment at which a step is taken.
  package final class Timer {
    /// nil: not now.
    package var due: Instant?

    package init(due: Instant? = nil) { self.due = due }
  }

  /// A step of the turn in which a moment has come. It is given the moment and returns when it is to be taken the next time;
  /// nil: not before somebody sets the timer.
  package func onTimer(_ timer: Timer, _ take: @escaping (Instant) throws -> Instant?) {
    steps.append(
      Step(
        moment: { timer.due },
        take: { [clock] in
          guard let due = timer.due, due <= clock.now else { return }
          timer.due = try take(due)
        }))
  }

  /// A step that is taken for the first time at a moment that is known already.
  package func onTimer(due: Instant, _ take: @escaping (Instant) throws -> Instant?) {
    onTimer(Timer(due: due), take)
  }

  /// The moment that follows another in steps of `interval` and lies ahead: what was missed altogether is left out, and a
  /// schedule does not slip.
  package static func next(after moment: Instant, by interval: Duration, now: Instant) -> Instant {
    precondition(interval > .zero)
    var next = moment + interval
    if next <= now { next += interval * ((now - next) / interval).rounded(.down) }
    while next <= now { next += interval }
    return next
  }

  // MARK: Running

  /// Ends the loop within this turn. The first outcome counts.
  package func end(_ outcome: Int32 = 0) { if self.outcome == nil { self.outcome = outcome } }

  /// Takes turns until a step ends the loop; returns the outcome. An error of a step ends it, too.
  package func run() throws -> Int32 {
    outcome = nil
    while true {
      if let outcome = try turn(until: nil) { return outcome }
    }
  }

  /// Takes turns until a step ends the loop or a moment has come, but one at least. Returns the outcome; nil when time is up.
  package func run(until moment: Instant) throws -> Int32? {
    outcome = nil
    repeat {
      if let outcome = try turn(until: moment) { return outcome }
    } while clock.now < moment
    return nil
  }

  /// Returns the outcome, if this was the last turn.
  private func turn(until end: Instant?) throws -> Int32? {
    var moments = steps.compactMap { $0.moment() }
    if let end { moments.append(end) }
    if let longestWait { moments.append(clock.now + longestWait) }
    // One that no process has is passed over by poll.
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
