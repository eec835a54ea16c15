import ProcessImage
import Symbolization
import TraceModel

/// Names the stacks of a trace. It is told of code while that code is mapped, because processes end.
package protocol StackNaming: AnyObject {
  /// Notes which code a process has mapped from now on.
  func record(_ process: TracedProcess)
  /// The frames of a stack, leaf first.
  func frames(of stack: StackTrace, in code: RecordedCode) -> [Frame]
  /// The place in code of each frame of a stack. The same stack can mean different code in different epochs, and the same code
  /// can have been at different addresses.
  func codePlaces(of stack: StackTrace, in code: RecordedCode) -> [CodePlace?]
  /// Whether a process has removed code that it had mapped.
  func hasRemovedCode(_ code: RecordedCode) -> Bool
  /// What could not be named because it exceeds a limit: sentences for the notes of a report.
  var notes: [String] { get }
}

/// Stacks named by symbols and debug information.
package final class SymbolizedNaming: StackNaming {
  private let symbolizer: Symbolizer

  package init(_ symbolizer: Symbolizer) { self.symbolizer = symbolizer }

  package func record(_ process: TracedProcess) {
    symbolizer.record(
      processID: process.processID, threadID: process.threadID, generation: process.imageNumber,
      snapshot: process.mappingState.snapshot, epoch: process.mappingState.epoch)
  }

  package func frames(of stack: StackTrace, in code: RecordedCode) -> [Frame] {
    symbolizer.frames(
      for: stack, processID: code.processID, generation: code.imageNumber, epoch: code.epoch, leafIsExact: false)
  }

  package func codePlaces(of stack: StackTrace, in code: RecordedCode) -> [CodePlace?] {
    symbolizer.codePlaces(
      of: stack, processID: code.processID, generation: code.imageNumber, epoch: code.epoch)
  }

  package func hasRemovedCode(_ code: RecordedCode) -> Bool {
    symbolizer.hasRemovedCode(processID: code.processID, generation: code.imageNumber)
  }

  package var notes: [String] { symbolizer.notes }
}

/// Leaves stacks as bare addresses, for a trace whose names nobody reads.
package final class UnnamedStacks: StackNaming {
  package init() {}
  package func record(_ process: TracedProcess) {}
  package func frames(of stack: StackTrace, in code: RecordedCode) -> [Frame] {
    stack.addresses.map { Frame(address: $0) }
  }
  package func codePlaces(of stack: StackTrace, in code: RecordedCode) -> [CodePlace?] {
    stack.addresses.map { CodePlace(code: Int(code.epoch), offset: $0) }
  }
  package func hasRemovedCode(_ code: RecordedCode) -> Bool { false }
  package var notes: [String] { [] }
}
