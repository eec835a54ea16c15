import TraceModel

/// What a format makes of a frame, made once: the same frames are in thousands of stacks.
///
/// A table with linear probing over arrays of its own: a dictionary copies the frame, with all its strings, at each look.
final class FrameCache<Value> {
  /// Positions in `frames` and `values` plus 1; 0 is free. A power of two, at most half full.
  private var slots = [UInt32](repeating: 0, count: 1 << 12)
  private var frames: ContiguousArray<Frame> = []
  private var values: ContiguousArray<Value> = []
  private let make: (Frame) -> Value

  init(_ make: @escaping (Frame) -> Value) { self.make = make }

  subscript(frame: Frame) -> Value {
    var slot = Self.hash(frame) & (slots.count - 1)
    while slots[slot] != 0 {
      let position = Int(slots[slot]) - 1
      if frames[position].address == frame.address, frames[position].line == frame.line, frames[position] == frame {
        return values[position]
      }
      slot = (slot + 1) & (slots.count - 1)
    }
    let value = make(frame)
    frames.append(frame)
    values.append(value)
    slots[slot] = UInt32(frames.count)
    if frames.count * 2 > slots.count { grow() }
    return value
  }

  /// Hashes only the fields that nearly always tell frames apart.
  private static func hash(_ frame: Frame) -> Int {
    let word = (frame.address &+ UInt64(truncatingIfNeeded: frame.line ?? 0) << 48) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: word >> 32)
  }

  private func grow() {
    slots = [UInt32](repeating: 0, count: slots.count * 4)
    for (position, frame) in frames.enumerated() {
      var slot = Self.hash(frame) & (slots.count - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = UInt32(position + 1)
    }
  }
}
