import AllocationTracing
import Glibc
import ProcessImage
import Quantities
import SystemSupport
import TraceModel

/// Attaches to the processes of a selection, and to processes that start to belong to it while the trace runs.
///
/// The tracer itself follows the children of traced processes, from their first allocation on. This type finds the
/// others: for example a service that its manager starts again, or a command that somebody runs inside of a container.
final class TargetAttacher {
  private let selection: TargetSelection
  private let tracer: AllocationTracer
  /// How many times attaching to a process has failed. A program that has just started has no allocator yet, so it is
  /// tried again.
  private var failures: [Int32: Int] = [:]
  private var nextLook: ContinuousClock.Instant
  /// Which processes are not traced, and why.
  private var failureNotes: [String] = []
  /// How many processes were left out at the last look because enough are traced.
  private var leftOut = 0

  /// Sentences for the report: which processes are not traced, and why.
  var notes: [String] {
    if leftOut == 0 { return failureNotes }
    let reason = "as many are traced as may be at a time (--max-processes)"
    return failureNotes + [
      "\(counted(leftOut, "process", "processes")) of the selection \(leftOut == 1 ? "is" : "are") not traced: \(reason)"
    ]
  }

  private static let timeBetweenLooks = Duration.seconds(1)
  private static let attempts = 3
  private static let maximumNotes = 20

  init(selection: TargetSelection, tracer: AllocationTracer) {
    self.selection = selection
    self.tracer = tracer
    nextLook = .now + Self.timeBetweenLooks
  }

  /// Attaches to the processes that are there at the start.
  ///
  /// A process that the user named by its number has to be traced, so any error is thrown. Of the other processes, at
  /// least one has to be traced.
  func attach(_ processIDs: [Int32], progress: inout ProgressLine) throws {
    for processID in processIDs where selection.processIDs.contains(processID) {
      progress.show("attaching to process \(processID)")
      try tracer.attach(processID: processID)
    }
    var firstError: (any Error)?
    for (number, processID) in processIDs.enumerated() where !selection.processIDs.contains(processID) {
      // The user wants an end, and is not to wait for it. What is attached to by now is reported.
      if isInterrupted { return }
      if tracer.isTracing(processID) { continue }
      if tracer.isFull {
        leftOut += 1
        continue
      }
      progress.show(
        "attaching to process \(processID), \(groupedNumber(number + 1)) of \(groupedNumber(processIDs.count))")
      do { try tracer.attach(processID: processID) } catch {
        firstError = firstError ?? error
        failures[processID] = Self.attempts
        note(processID, error)
      }
      // The children of this process may be waiting for us already.
      tracer.handleEvents()
    }
    if let firstError, !tracer.hasRunningTargets { throw firstError }
  }

  /// Looks for processes that match and are not traced yet. It does so once a second, however often it is called.
  func attachNew() {
    guard selection.isOpen, ContinuousClock.now >= nextLook else { return }
    let matching = selection.findMatching()
    // A child of a traced process is left to the tracer, which follows it from its beginning. These events tell of such
    // children.
    tracer.handleEvents()
    let present = Set(matching)
    failures = failures.filter { present.contains($0.key) }
    leftOut = 0
    for processID in matching where !tracer.isTracing(processID) && failures[processID, default: 0] < Self.attempts {
      if isInterrupted { return }
      if tracer.isFull {
        leftOut += 1
        continue
      }
      do { try tracer.attach(processID: processID) } catch {
        failures[processID, default: 0] += 1
        if failures[processID] == Self.attempts { note(processID, error) }
      }
      tracer.handleEvents()
    }
    nextLook = .now + Self.timeBetweenLooks
  }

  /// Whether a signal waits that ends the trace. The loop of the trace takes it when it comes to it.
  private var isInterrupted: Bool { Interruption.isWaiting([SIGINT, SIGTERM, SIGHUP]) }

  private func note(_ processID: Int32, _ error: any Error) {
    // If the process has ended meanwhile, there is nothing to tell.
    guard let info = try? ProcessInfo(processID: processID), !info.hasEnded else { return }
    if failureNotes.count < Self.maximumNotes {
      failureNotes.append("not traced: \(error)")
    } else if failureNotes.count == Self.maximumNotes {
      failureNotes.append("further processes are not traced, each for a reason like those above")
    }
  }
}
