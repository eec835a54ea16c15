import AllocationTracing
import Glibc
import ProcessImage
import TraceModel

/// Attaches to the processes of a selection, and to those that come to belong to it while the trace runs.
///
/// Children of traced processes are followed by the tracer itself, from their first allocation. Found here are the others:
/// a service that its manager starts again, a command that somebody runs inside of a container.
final class TargetAttacher {
  private let selection: TargetSelection
  private let tracer: AllocationTracer
  /// How often an attach to a process has failed; a program that has only just begun has no allocator yet.
  private var failures: [Int32: Int] = [:]
  private var nextLook: ContinuousClock.Instant
  /// Which processes are not traced, and why: for the report.
  private(set) var notes: [String] = []

  private static let timeBetweenLooks = Duration.seconds(1)
  private static let attempts = 3
  private static let maximumNotes = 20

  init(selection: TargetSelection, tracer: AllocationTracer) {
    self.selection = selection
    self.tracer = tracer
    nextLook = .now + Self.timeBetweenLooks
  }

  /// Attaches to the first ones.
  ///
  /// A process that was named by its number has to be traced, so whatever prevents that is thrown. Of others, one must be.
  func attach(_ processIDs: [Int32], progress: inout ProgressLine) throws {
    for processID in processIDs where selection.processIDs.contains(processID) {
      progress.show("attaching to process \(processID)")
      try tracer.attach(processID: processID)
    }
    var firstError: (any Error)?
    for (number, processID) in processIDs.enumerated() where !selection.processIDs.contains(processID) {
      progress.show("attaching to process \(processID), \(number + 1) of \(processIDs.count)")
      if tracer.isTracing(processID) { continue }
      do { try tracer.attach(processID: processID) } catch {
        firstError = firstError ?? error
        failures[processID] = Self.attempts
        note(processID, error)
      }
      // Its children wait for us already.
      tracer.handleEvents()
    }
    if let firstError, !tracer.hasRunningTargets { throw firstError }
  }

  /// Looks once a second for processes that match and are not traced yet.
  func attachNew() {
    guard selection.isOpen, ContinuousClock.now >= nextLook else { return }
    let matching = selection.findMatching()
    // A child of a traced process is the tracer's, who knows it from its beginning.
    tracer.handleEvents()
    let present = Set(matching)
    failures = failures.filter { present.contains($0.key) }
    for processID in matching where !tracer.isTracing(processID) && failures[processID, default: 0] < Self.attempts {
      do { try tracer.attach(processID: processID) } catch {
        failures[processID, default: 0] += 1
        if failures[processID] == Self.attempts { note(processID, error) }
      }
      tracer.handleEvents()
    }
    nextLook = .now + Self.timeBetweenLooks
  }

  private func note(_ processID: Int32, _ error: any Error) {
    // One that has ended is not missed.
    guard let info = try? ProcessInfo(processID: processID), !info.hasEnded else { return }
    if notes.count < Self.maximumNotes {
      notes.append("not traced: \(error)")
    } else if notes.count == Self.maximumNotes {
      notes.append("further processes are not traced, each for a reason like those above")
    }
  }
}
