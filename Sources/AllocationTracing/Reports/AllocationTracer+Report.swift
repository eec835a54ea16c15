import Accounting
import LeakAnalysis
import Symbolization
import TraceModel

extension AllocationTracer {
  /// Makes a report of a snapshot. One snapshot can have several reports.
  package func report(_ request: ReportRequest, from snapshot: TraceSnapshot) -> Report {
    var builder = ReportBuilder(snapshot, request: request, naming: PatientNaming(self))
    let report = builder.build()
    previousOutstanding = builder.outstandingBySite
    return report
  }

  /// Everything recorded so far, as one report.
  ///
  /// - Parameter checks: results of leak checks; the latest of each process counts.
  package func report(_ request: ReportRequest, checks: [LeakCheckResult] = []) -> Report {
    report(
      request,
      from: snapshot(checks: checks, looksAtBlocks: !request.combinedOnly, includesFreed: request.includesFreed))
  }
}

/// Names stacks as the tracer's own naming does, and handles overdue events in between. Naming can take long, and processes
/// that wait for us must not wait for it.
private final class PatientNaming: StackNaming {
  private let tracer: AllocationTracer

  init(_ tracer: AllocationTracer) { self.tracer = tracer }

  func record(_ process: TracedProcess) { tracer.naming.record(process) }

  func frames(of stack: StackTrace, in code: RecordedCode) -> [Frame] {
    tracer.handleOverdueEvents()
    return tracer.naming.frames(of: stack, in: code)
  }

  func codePlaces(of stack: StackTrace, in code: RecordedCode) -> [CodePlace?] {
    tracer.naming.codePlaces(of: stack, in: code)
  }

  func hasRemovedCode(_ code: RecordedCode) -> Bool { tracer.naming.hasRemovedCode(code) }

  var notes: [String] { tracer.naming.notes }
}
