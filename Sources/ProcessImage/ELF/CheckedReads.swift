/// Reads that never leave the buffer, whatever a file says about offsets and sizes.
extension UnsafeRawBufferPointer {
  /// The value at `offset`, or nil if it does not lie wholly inside the buffer. `offset` need not be aligned.
  @inline(__always)
  package func value<Value: BitwiseCopyable>(at offset: UInt64, as type: Value.Type) -> Value? {
    let width = UInt64(MemoryLayout<Value>.size)
    guard UInt64(count) >= width, offset <= UInt64(count) &- width else { return nil }
    return loadUnaligned(fromByteOffset: Int(truncatingIfNeeded: offset), as: Value.self)
  }

  /// The bytes `offset ..< offset + size`, or nil if they do not lie wholly inside the buffer.
  @inline(__always)
  package func slice(at offset: UInt64, size: UInt64) -> UnsafeRawBufferPointer? {
    guard offset <= UInt64(count), size <= UInt64(count) &- offset else { return nil }
    return UnsafeRawBufferPointer(
      rebasing: self[Int(offset)..<Int(offset &+ size)])
  }

  /// The string that starts at `offset` and ends before the next NUL. Invalid UTF-8 is repaired. Returns nil if there
  /// is no NUL within `limit` bytes or before the end of the buffer.
  package func string(at offset: UInt64, limit: Int = 4096) -> String? {
    guard offset < UInt64(count) else { return nil }
    let start = Int(offset)
    let window = UnsafeRawBufferPointer(
      rebasing: self[start..<(start + Swift.min(limit, count - start))])
    guard let end = window.firstIndex(of: 0) else { return nil }
    return String(decoding: window[..<end], as: UTF8.self)
  }
}
