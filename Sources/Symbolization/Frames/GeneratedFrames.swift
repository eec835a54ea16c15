import TraceModel

/// Memory that the process filled with code itself, named by its perf map.
struct GeneratedFrames: FrameSource {
  var isGeneratedCode: Bool { true }

  func append(_ request: FrameRequest, to frames: inout [Frame]) -> Bool {
    let path = request.mapping?.path ?? ""
    var frame = Frame(address: request.address, module: path.isEmpty ? nil : path)
    frame.unresolved = .generatedCode
    Self.name(&frame, at: request.lookup, of: request.process, request.demangle)
    frames.append(frame)
    return false
  }

  /// Gives a frame the name that the process's perf map has for an address, if it has one.
  static func name(
    _ frame: inout Frame, at lookup: UInt64, of process: RecordedProcess, _ demangle: (String) -> String
  ) {
    guard let match = process.generatedFunction(at: lookup) else { return }
    frame.function = demangle(match.name)
    frame.functionOffset = frame.address &- match.start
    frame.unresolved = nil
  }
}
