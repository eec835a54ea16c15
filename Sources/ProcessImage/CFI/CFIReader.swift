/// Reads call-frame information from front to back, and never outside of its bounds.
///
/// A read past the end returns 0 and sets ``failed``. Callers can therefore check once per record instead of once per
/// byte.
struct CFIReader {
  let base: UnsafeRawPointer
  var position: Int
  let end: Int
  var failed = false

  /// The memory at `base` must hold the bytes `position..<end`.
  @inline(__always)
  init(base: UnsafeRawPointer, position: Int, end: Int) {
    self.base = base
    self.position = position
    self.end = end
  }

  @inline(__always)
  var isAtEnd: Bool { position >= end }

  @inline(__always)
  mutating func readByte() -> UInt8 {
    guard position < end else {
      failed = true
      return 0
    }
    let value = base.load(fromByteOffset: position, as: UInt8.self)
    position &+= 1
    return value
  }

  @inline(__always)
  mutating func read<Integer: FixedWidthInteger & BitwiseCopyable>(_: Integer.Type) -> Integer {
    let size = MemoryLayout<Integer>.size
    guard size <= end &- position else {
      failed = true
      position = end
      return 0
    }
    let value = base.loadUnaligned(fromByteOffset: position, as: Integer.self)
    position &+= size
    return value
  }

  @inline(__always)
  mutating func readULEB128() -> UInt64 {
    let first = readByte()
    return first < 0x80 ? UInt64(first) : readULEB128(after: first)
  }

  private mutating func readULEB128(after first: UInt8) -> UInt64 {
    var value = UInt64(first & 0x7f)
    var shift: UInt64 = 7
    while true {
      let byte = readByte()
      if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
      shift &+= 7
      if byte < 0x80 { return value }
    }
  }

  mutating func readSLEB128() -> Int64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = readByte()
      if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
      shift &+= 7
      if byte < 0x80 {
        if byte & 0x40 != 0 && shift < 64 { value |= ~0 << shift }
        return Int64(bitPattern: value)
      }
    }
  }

  /// Skips `count` bytes. Fails if there are fewer.
  mutating func skip(_ count: UInt64) {
    guard count <= UInt64(end &- position) else {
      failed = true
      position = end
      return
    }
    position &+= Int(count)
  }

  /// Reads a pointer in one of the `DW_EH_PE` encodings.
  ///
  /// - Parameter sectionAddress: the virtual address of byte 0, from which pc-relative pointers are computed.
  /// - Returns: the pointer, or nil if `.eh_frame` does not use the encoding.
  mutating func readPointer(encoding: UInt8, sectionAddress: UInt64) -> UInt64? {
    let place = sectionAddress &+ UInt64(position)
    let value: UInt64
    switch encoding & 0x0f {
    case 0x00, 0x04, 0x0c: value = read(UInt64.self)
    case 0x01: value = readULEB128()
    case 0x02: value = UInt64(read(UInt16.self))
    case 0x03: value = UInt64(read(UInt32.self))
    case 0x09: value = UInt64(bitPattern: readSLEB128())
    case 0x0a: value = UInt64(bitPattern: Int64(read(Int16.self)))
    case 0x0b: value = UInt64(bitPattern: Int64(read(Int32.self)))
    default: return nil
    }
    switch encoding & 0xf0 {
    case 0x00: return value
    case 0x10: return value &+ place
    default: return nil
    }
  }
}
