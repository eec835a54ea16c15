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
    try refuseJumpsInside(code, address)
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

  private func refuseJumpsInside(_ code: UnsafeRawBufferPointer, _ address: UInt64) throws(Unsuitable) {
    let inside = address &+ UInt64(forbidden.lowerBound)..<address &+ UInt64(forbidden.upperBound)
    guard rangesJumpedInto(code: code, address: address, ranges: [inside]).isEmpty else {
      throw Unsuitable("it jumps back into its first instructions")
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
  guard let lowest = ranges.map(\.lowerBound).min(), let highest = ranges.map(\.upperBound).max() else { return [] }
  var found: Set<Int> = []
  let span = highest &- lowest
  forEachPossibleBranch(in: code) { _, distance in
    let target = address &+ UInt64(bitPattern: Int64(distance))
    guard target &- lowest < span else { return }
    for (index, range) in ranges.enumerated() where range.contains(target) { found.insert(index) }
  }
  return found
}

/// Reads the bytes of some code as a branch at every position, whether an instruction begins there or not, and calls `body`
/// with the position and the destination, counted from the code's first byte, wherever they can be one.
@inline(__always)
func forEachPossibleBranch(in code: UnsafeRawBufferPointer, _ body: (_ position: Int, _ destination: Int) -> Void) {
  for position in 0..<code.count {
    switch code[position] {
    case 0xe8, 0xe9:
      guard position + 5 <= code.count else { continue }
      body(position, position + 5 + distance(code, position + 1))
    case 0x0f:
      guard position + 6 <= code.count, code[position + 1] & 0xf0 == 0x80 else { continue }
      body(position, position + 6 + distance(code, position + 2))
    case 0xeb, 0x70...0x7f, 0xe0...0xe3:
      guard position + 2 <= code.count else { continue }
      body(position, position + 2 + Int(Int8(bitPattern: code[position + 1])))
    default: continue
    }
  }
}

@inline(__always)
private func distance(_ code: UnsafeRawBufferPointer, _ position: Int) -> Int {
  Int(Int32(littleEndian: code.loadUnaligned(fromByteOffset: position, as: Int32.self)))
}
