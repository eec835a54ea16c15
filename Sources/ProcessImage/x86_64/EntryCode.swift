import CCapstone

/// The first instructions of a function, as far as a jump can be put behind the first of them, and how they are carried out
/// elsewhere. The first instruction stays in place: whoever else probes the function does that there.
package struct EntryCode: Sendable {
  /// An instruction that is to be carried out at another place.
  package enum Piece: Hashable, Sendable {
    /// The same bytes do the same everywhere.
    case anywhere([UInt8])
    /// Its operand is at an address, to which the 4 bytes at `offset` are the distance from the next instruction.
    case relative([UInt8], offset: Int, target: UInt64)
    case jump(to: UInt64)
    /// A jump under one of the 16 conditions, as opcodes number them.
    case conditionalJump(condition: UInt8, to: UInt64)
  }

  package var pieces: [Piece] = []
  /// How many bytes the pieces take in the function.
  package var length = 0
  /// Length of the first instruction: the jump stands behind it.
  package var firstLength = 0
  /// The register that the first instruction pushes; nil when it does nothing that has to be undone before it is carried out
  /// again with the registers as they were at the entry.
  package var pushed: ArgumentRegister?
  /// Whether the pieces end in a jump, so that the code behind them is never reached from them.
  package var endsInJump = false

  /// Length of a jump to anywhere within 2 GiB.
  package static let jumpLength = 5

  /// Why a function cannot be led elsewhere.
  package struct Unsuitable: Error, CustomStringConvertible {
    package var description: String
    init(_ description: String) { self.description = description }
  }

  /// Reads the entry of a function.
  ///
  /// - Parameters:
  ///   - code: the function's code from its first byte on, all of it as far as its length is known.
  ///   - address: where it is in memory.
  package init(code: UnsafeRawBufferPointer, address: UInt64) throws(Unsuitable) {
    guard let decoder = InstructionDecoder() else { throw Unsuitable("no decoder") }
    guard let first = decoder.decode(code, at: 0, address: address) else { throw Unsuitable("unknown instruction") }
    firstLength = first.length
    try takeFirst(first)
    while length < firstLength + Self.jumpLength {
      guard !endsInJump else { throw Unsuitable("too short for a jump") }
      guard let next = decoder.decode(code, at: length, address: address) else {
        throw Unsuitable("unknown instruction")
      }
      try take(next, code: code, address: address)
    }
    // `take` has noted the first instruction's bytes as well.
    pieces.insert(try Self.piece(first, code: code, address: address), at: 0)
    try refuseJumpsInside(decoder, code, address)
  }

  private mutating func takeFirst(_ instruction: DecodedInstruction) throws(Unsuitable) {
    length = instruction.length
    if instruction.identifier == X86_INS_PUSH.rawValue {
      guard case .register(let register, isFull: true)? = instruction.operands.first, register != .rsp else {
        throw Unsuitable("its first instruction cannot be undone")
      }
      pushed = register
      return
    }
    // Only registers that nobody expects anything of may have changed.
    let scratch: Set<ArgumentRegister> = [.rax, .r10, .r11]
    guard !instruction.isJump, !instruction.isConditionalJump, !instruction.isCall, !instruction.isReturn,
      !instruction.isTrap, !instruction.writesMemory, instruction.isKnownToBeHarmless,
      instruction.writtenRegisters.allSatisfy({ scratch.contains($0) })
    else { throw Unsuitable("its first instruction cannot be undone") }
  }

  private mutating func take(
    _ instruction: DecodedInstruction, code: UnsafeRawBufferPointer, address: UInt64
  ) throws(Unsuitable) {
    pieces.append(try Self.piece(instruction, code: code, address: address))
    length += instruction.length
    endsInJump = instruction.isJump
  }

  private static func piece(
    _ instruction: DecodedInstruction, code: UnsafeRawBufferPointer, address: UInt64
  ) throws(Unsuitable) -> Piece {
    let bytes = Array(code[instruction.offset..<instruction.offset + instruction.length])
    if instruction.isCall || instruction.isReturn || instruction.isTrap {
      throw Unsuitable("a call or return in its first instructions")
    }
    if instruction.isJump {
      guard let target = instruction.branchTarget else { throw Unsuitable("a computed jump in its first instructions") }
      return .jump(to: target)
    }
    if instruction.isConditionalJump {
      guard let target = instruction.branchTarget, let condition = condition(of: bytes) else {
        throw Unsuitable("a jump that cannot be moved in its first instructions")
      }
      return .conditionalJump(condition: condition, to: target)
    }
    for case .ripRelative(let displacement) in instruction.operands {
      let offset = instruction.displacementOffset
      guard offset > 0, offset + 4 <= bytes.count else { throw Unsuitable("an operand that cannot be moved") }
      let next = address &+ UInt64(instruction.offset + instruction.length)
      return .relative(bytes, offset: offset, target: next &+ UInt64(bitPattern: displacement))
    }
    return .anywhere(bytes)
  }

  /// The condition of a plain conditional jump.
  private static func condition(of bytes: [UInt8]) -> UInt8? {
    if bytes.count == 2, bytes[0] & 0xf0 == 0x70 { return bytes[0] & 0xf }
    if bytes.count == 6, bytes[0] == 0x0f, bytes[1] & 0xf0 == 0x80 { return bytes[1] & 0xf }
    return nil
  }

  /// Where a jump must not lead to, counted from the function's start: into the jump that is put there, or to what stands
  /// behind it and is reached from elsewhere only.
  package var forbidden: Range<Int> { firstLength..<length }

  private func refuseJumpsInside(
    _ decoder: borrowing InstructionDecoder, _ code: UnsafeRawBufferPointer, _ address: UInt64
  ) throws(Unsuitable) {
    var offset = 0
    while offset < code.count, let instruction = decoder.decode(code, at: offset, address: address) {
      if let target = instruction.branchTarget, target >= address,
        forbidden.contains(Int(clamping: target &- address))
      {
        throw Unsuitable("it jumps back into its first instructions")
      }
      offset += instruction.length
    }
  }
}

extension DecodedInstruction {
  /// Whether an instruction that writes no memory and only registers without meaning can be carried out twice.
  fileprivate var isKnownToBeHarmless: Bool {
    [
      X86_INS_TEST, X86_INS_CMP, X86_INS_MOV, X86_INS_LEA, X86_INS_XOR, X86_INS_ENDBR64, X86_INS_NOP, X86_INS_MOVABS,
      X86_INS_MOVZX, X86_INS_MOVSXD,
    ].contains { $0.rawValue == identifier }
  }
}

/// Whether any jump or call in some code leads into one of the ranges, going by the bytes alone, so that code that cannot be
/// told from data is seen, too. A range that is not led into may be reported by chance, which is as rare as it is harmless.
///
/// - Parameters:
///   - address: of the code's first byte.
///   - ranges: of addresses.
/// - Returns: the indices of the ranges that are led into.
package func rangesJumpedInto(
  code: UnsafeRawBufferPointer, address: UInt64, ranges: [Range<UInt64>]
) -> Set<Int> {
  guard let lowest = ranges.map(\.lowerBound).min(), let highest = ranges.map(\.upperBound).max(), code.count > 6 else {
    return []
  }
  var found: Set<Int> = []
  let span = highest &- lowest
  func note(_ target: UInt64) {
    for (index, range) in ranges.enumerated() where range.contains(target) { found.insert(index) }
  }
  for offset in 0..<code.count - 6 {
    let opcode = code[offset]
    if opcode & 0xfe == 0xe8 || opcode == 0x0f && code[offset + 1] & 0xf0 == 0x80 {
      let start = offset + (opcode == 0x0f ? 2 : 1)
      let distance = code.loadUnaligned(fromByteOffset: start, as: Int32.self)
      let target = address &+ UInt64(start + 4) &+ UInt64(bitPattern: Int64(distance))
      if target &- lowest < span { note(target) }
    } else if opcode == 0xeb || opcode & 0xf0 == 0x70 {
      let target =
        address &+ UInt64(offset + 2) &+ UInt64(bitPattern: Int64(Int8(bitPattern: code[offset + 1])))
      if target &- lowest < span { note(target) }
    }
  }
  return found
}
