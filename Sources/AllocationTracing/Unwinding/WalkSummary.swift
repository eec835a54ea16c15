import Quantities
import TraceModel

/// How the stacks of a trace could be walked.
package struct WalkSummary: Sendable {
  /// Why stacks are walked by frame pointers; nil when they are walked by call-frame information.
  package var framePointerReason: String?
  /// How many stacks were cut short and could not be completed afterwards, either; by reason.
  package var brokenStacks: [Report.LossCounter] = []
  /// How often a stack crossed code without call-frame information.
  package var framePointerSteps: UInt64 = 0
  package var unsupportedRules: UInt64 = 0
  /// Files whose call-frame information found no room, and files whose call-frame information could not be read. Both are
  /// sorted.
  package var tooLargeFiles: [String] = []
  package var unreadableFiles: [String] = []
  /// How many rows of each file the walker cannot express, by path.
  package var unsupportedRows: [String: Int] = [:]

  /// Sentences that say where the stacks of a report were not walked by call-frame information.
  ///
  /// - Parameter explainsStacks: name every file that cannot be used in full, even if that cut no stack.
  package func notes(explainsStacks: Bool) -> [String] {
    if let framePointerReason {
      return ["stacks follow frame pointers only, \(framePointerReason); callers that keep none are missing"]
    }
    var notes: [String] = []
    if framePointerSteps > 0 {
      notes.append(
        "\(counted(framePointerSteps, "time")) a stack crossed code without call-frame information by its frame "
          + "pointer or by a return address searched for; callers behind it may be missing or wrong")
    }
    if !tooLargeFiles.isEmpty {
      notes.append(
        "stacks end in files whose call-frame information needs more memory than there is for it: "
          + Self.list(tooLargeFiles))
    }
    if !unreadableFiles.isEmpty {
      notes.append("call-frame information could not be read: " + Self.list(unreadableFiles))
    }
    if explainsStacks || unsupportedRules > 0, !unsupportedRows.isEmpty {
      let files = unsupportedRows.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      notes.append(
        "call-frame information that stacks cannot be walked by: "
          + Self.list(files.map { "\($0.key) (\(counted($0.value, "row")))" }))
    }
    return notes
  }

  private static func list(_ names: [String]) -> String {
    let most = 10
    return names.prefix(most).joined(separator: ", ")
      + (names.count > most ? " and \(groupedNumber(names.count - most)) more" : "")
  }
}
