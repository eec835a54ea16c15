import ProcessImage
import TraceModel

/// Names the addresses of one kind of code: that of an ELF file, of a just-in-time compiler, of an interpreter.
protocol FrameSource {
  /// Appends the frames of one address, innermost function first. What cannot be named carries a reason.
  ///
  /// Returns whether the stack's next address is that of an instruction, not of a return: so it is behind the code that
  /// returns from a signal handler.
  func append(_ frame: FrameRequest, to frames: inout [Frame]) -> Bool

  /// Whether what it names is made while the process runs, so that the same addresses come and go with their names.
  var isGeneratedCode: Bool { get }
  /// Whether its file could not be opened, so that another try is worth while.
  var isUnreadable: Bool { get }
  /// What makes its code the same as that of another; nil for code of its own.
  var codeKey: CodeKey? { get }
}

extension FrameSource {
  var isGeneratedCode: Bool { false }
  var isUnreadable: Bool { false }
  var codeKey: CodeKey? { nil }
}

/// One address to be named.
struct FrameRequest {
  /// As the walker found it.
  var address: UInt64
  /// An address inside of the instruction: that of a call for a return address.
  var lookup: UInt64
  /// What it lies in; nil for a frame of a runtime, which is no address.
  var mapping: Mapping?
  let process: RecordedProcess
  let options: SymbolizerOptions
  /// Gives the plain form of a name that the process has chosen.
  let demangle: (String) -> String

  /// The address as a place in the mapping, and in the mapped file.
  var offset: UInt64 { address &- (mapping?.start ?? 0) }
  var fileOffset: UInt64 { offset &+ (mapping?.fileOffset ?? 0) }
}
