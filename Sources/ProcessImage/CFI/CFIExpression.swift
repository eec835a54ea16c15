/// Recognises the few forms of DWARF expressions that compilers, linkers and libraries use to describe frames.
enum CFIExpression {
  private enum Operation {
    static let dereference: UInt8 = 0x06
    static let and: UInt8 = 0x1a
    static let plus: UInt8 = 0x22
    static let plusConstant: UInt8 = 0x23
    static let shiftLeft: UInt8 = 0x24
    static let greaterOrEqual: UInt8 = 0x2a
    static let literal0: UInt8 = 0x30
    static let literal31: UInt8 = 0x4f
    static let baseRegister0: UInt8 = 0x70
    static let baseRegister31: UInt8 = 0x8f
  }

  /// The CFA that an expression computes, if it has one of these forms: `register + o`, `*(register + o)`, `*(register
  /// + o) + a`, or the expression that linkers write for procedure linkage tables.
  static func cfa(_ expression: CFIReader) -> (CFIState.CFA, offset: Int64) {
    var reader = expression
    guard let (register, offset) = baseRegister(&reader) else { return (.unsupported, 0) }
    if reader.isAtEnd { return (.register(register), offset) }
    switch reader.readByte() {
    case Operation.dereference:
      var addend: UInt64 = 0
      if !reader.isAtEnd {
        guard reader.readByte() == Operation.plusConstant else { return (.unsupported, 0) }
        addend = reader.readULEB128()
      }
      guard reader.isAtEnd, !reader.failed else { return (.unsupported, 0) }
      return (.dereferenced(register, addend: addend), offset)
    case Operation.baseRegister0 + UInt8(CFIState.returnAddressColumn)
    where register == CFIState.stackPointerColumn:
      guard reader.readSLEB128() == 0, let threshold = linkageTableThreshold(&reader) else {
        return (.unsupported, 0)
      }
      return (.linkageTable(threshold: threshold), offset)
    default: return (.unsupported, 0)
    }
  }

  /// The place in memory that an expression computes, if it has the form `register + o`.
  static func location(_ expression: CFIReader) -> CFIState.Location {
    var reader = expression
    guard let (register, offset) = baseRegister(&reader), reader.isAtEnd else {
      return .unsupported
    }
    return .relative(register, offset)
  }

  private static func baseRegister(_ reader: inout CFIReader) -> (UInt64, Int64)? {
    let operation = reader.readByte()
    guard operation >= Operation.baseRegister0, operation <= Operation.baseRegister31 else {
      return nil
    }
    let offset = reader.readSLEB128()
    return reader.failed ? nil : (UInt64(operation - Operation.baseRegister0), offset)
  }

  /// Reads the rest of `pc & 15 >= threshold ? 8 : 0`, which is written as `lit15 and lit⟨threshold⟩ ge lit3 shl plus`.
  private static func linkageTableThreshold(_ reader: inout CFIReader) -> UInt64? {
    guard reader.readByte() == Operation.literal0 + 15, reader.readByte() == Operation.and else {
      return nil
    }
    let literal = reader.readByte()
    guard literal >= Operation.literal0, literal <= Operation.literal31,
      reader.readByte() == Operation.greaterOrEqual,
      reader.readByte() == Operation.literal0 + 3, reader.readByte() == Operation.shiftLeft,
      reader.readByte() == Operation.plus, reader.isAtEnd, !reader.failed
    else { return nil }
    return UInt64(literal - Operation.literal0)
  }
}
