import TraceModel

/// What a format makes of a frame, made once: the same frames are in thousands of stacks.
final class FrameCache<Value> {
  /// Equal as frames are, but hashed by what nearly always tells them apart.
  private struct Key: Hashable {
    let frame: Frame
    func hash(into hasher: inout Hasher) {
      hasher.combine(frame.address)
      hasher.combine(frame.line)
    }
  }
  private var values: [Key: Value] = [:]
  private let make: (Frame) -> Value

  init(_ make: @escaping (Frame) -> Value) { self.make = make }

  subscript(frame: Frame) -> Value {
    let key = Key(frame: frame)
    if let known = values[key] { return known }
    let value = make(frame)
    values[key] = value
    return value
  }
}
