import ProcessImage
import TraceModel

/// What is to be probed in some objects of a process, and why the rest is not.
package struct ProbePlan {
  package var probes: [PlannedProbe] = []
  /// Sentences for the report.
  package var notes: [String] = []
  /// Why nothing was found, most helpful first.
  package var reasons: [String] = []
  package init() {}
}

/// Reads processes and chooses what to probe in them.
package protocol ProbePlanner {
  func describe(_ processID: Int32) throws -> (command: String, executable: String?)
  func mappings(of processID: Int32) throws -> [Mapping]
  /// Plans for the objects behind `fresh`, which are among `mappings`.
  func plan(_ processID: Int32, _ mappings: [Mapping], _ fresh: [Mapping]) throws -> ProbePlan
}
