/// Writes protocol buffer messages: fields in the order of the calls. Fields that are 0 or empty are left out, as
/// proto3 does, except elements of lists.
struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  private mutating func variableLength(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  private mutating func tag(_ field: Int, _ type: UInt64) { variableLength(UInt64(field) << 3 | type) }

  mutating func field(_ field: Int, _ value: UInt64) {
    guard value != 0 else { return }
    tag(field, 0)
    variableLength(value)
  }

  mutating func field(_ field: Int, _ value: Int64) { self.field(field, UInt64(bitPattern: value)) }

  mutating func field(_ field: Int, _ value: Bool) { self.field(field, value ? UInt64(1) : 0) }

  mutating func field(_ field: Int, _ bytes: [UInt8]) {
    tag(field, 2)
    variableLength(UInt64(bytes.count))
    self.bytes += bytes
  }

  /// A string is written even when it is empty: the first of a string table is.
  mutating func field(_ field: Int, string: String) { self.field(field, Array(string.utf8)) }

  mutating func field(_ field: Int, packed values: some Sequence<UInt64>) {
    var inner = ProtobufWriter()
    for value in values { inner.variableLength(value) }
    if !inner.bytes.isEmpty { self.field(field, inner.bytes) }
  }

  mutating func field(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    self.field(field, inner.bytes)
  }
}

/// Reads the fields of one message. Every length is checked; a damaged message ends with `isDamaged`.
struct ProtobufReader {
  enum Value {
    case integer(UInt64)
    case bytes(ArraySlice<UInt8>)
  }

  private var rest: ArraySlice<UInt8>
  private(set) var isDamaged = false

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next field, or nil at the end and where the message is damaged. Groups are damage: nobody writes them.
  mutating func next() -> (field: Int, value: Value)? {
    guard !rest.isEmpty else { return nil }
    guard let tag = variableLength(), tag >> 3 > 0, tag >> 3 < 1 << 29 else { return fail() }
    let field = Int(tag >> 3)
    switch tag & 7 {
    case 0:
      guard let value = variableLength() else { return fail() }
      return (field, .integer(value))
    case 1: return fixed(8).map { (field, .integer($0)) }
    case 5: return fixed(4).map { (field, .integer($0)) }
    case 2:
      guard let length = variableLength(), length <= UInt64(rest.count) else { return fail() }
      let bytes = rest.prefix(Int(length))
      rest = rest.dropFirst(Int(length))
      return (field, .bytes(bytes))
    default: return fail()
    }
  }

  private mutating func fail() -> (field: Int, value: Value)? {
    isDamaged = true
    rest = []
    return nil
  }

  private mutating func fixed(_ count: Int) -> UInt64? {
    guard rest.count >= count else {
      _ = fail()
      return nil
    }
    var value: UInt64 = 0
    for (index, byte) in rest.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
    rest = rest.dropFirst(count)
    return value
  }

  private mutating func variableLength() -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
      if byte & 0x80 == 0 { return value }
      shift += 7
      if shift > 63 + 7 { return nil }
    }
    return nil
  }

  /// The numbers of a packed field, or the one number of a field that is not packed. nil when damaged.
  static func numbers(_ value: Value) -> [UInt64]? {
    switch value {
    case .integer(let number): return [number]
    case .bytes(let bytes):
      var reader = ProtobufReader(bytes)
      var numbers: [UInt64] = []
      numbers.reserveCapacity(bytes.count)
      while !reader.rest.isEmpty {
        guard let number = reader.variableLength() else { return nil }
        numbers.append(number)
      }
      return numbers
    }
  }
}
