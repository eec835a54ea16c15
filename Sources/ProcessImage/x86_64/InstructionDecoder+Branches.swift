import CCapstone

extension DecodedInstruction {
  /// The virtual address to which a direct jump, conditional jump or call leads. nil for every other instruction.
  package var branchTarget: UInt64? {
    guard isJump || isConditionalJump || isCall, case .immediate(let target)? = operands.first
    else {
      return nil
    }
    return UInt64(bitPattern: target)
  }

  package var isNop: Bool { identifier == X86_INS_NOP.rawValue }
  package var isCall: Bool { identifier == X86_INS_CALL.rawValue }
  package var isJump: Bool { identifier == X86_INS_JMP.rawValue }
  package var isReturn: Bool { identifier == X86_INS_RET.rawValue }
  package var isJumpIfEqual: Bool { identifier == X86_INS_JE.rawValue }

  package var isConditionalJump: Bool { Self.conditionalJumps.contains(identifier) }

  /// Whether the instruction is a trap, after which the next instruction does not run. A function that does not return
  /// ends with one.
  package var isTrap: Bool {
    identifier == X86_INS_UD2.rawValue || identifier == X86_INS_HLT.rawValue
      || identifier == X86_INS_INT3.rawValue
  }

  private static let conditionalJumps: Set<UInt32> = Set(
    [
      X86_INS_JA, X86_INS_JAE, X86_INS_JB, X86_INS_JBE, X86_INS_JE, X86_INS_JNE, X86_INS_JG,
      X86_INS_JGE, X86_INS_JL, X86_INS_JLE, X86_INS_JO, X86_INS_JNO, X86_INS_JP, X86_INS_JNP,
      X86_INS_JS, X86_INS_JNS, X86_INS_JCXZ, X86_INS_JECXZ, X86_INS_JRCXZ, X86_INS_LOOP,
      X86_INS_LOOPE, X86_INS_LOOPNE,
    ].map(\.rawValue))
}

/// The ways in which a function goes back to its caller.
package struct FunctionExits: Hashable, Sendable {
  /// Offsets of the `ret` instructions.
  package var returnOffsets: [UInt64]
  /// Whether the function also ends in jumps to other functions (tail calls), which then return in its place.
  package var leavesByJump: Bool
  /// Whether all of the code was decoded, and contains no computed jump that may be a tail call.
  package var isComplete: Bool

  /// Whether probes at all `returnOffsets` see every return of the function.
  package var returnsAreAllKnown: Bool { isComplete && !leavesByJump && !returnOffsets.isEmpty }
}

/// Finds the exits of a function by decoding it from its start to its end.
///
/// Probes on these exits take the place of a return probe where a return probe would do harm: the kernel's return
/// probes replace the return address, so that a C++ exception that passes through the function finds no handler.
package func findFunctionExits(code: UnsafeRawBufferPointer, address: UInt64) -> FunctionExits {
  var exits = FunctionExits(returnOffsets: [], leavesByJump: false, isComplete: false)
  guard let decoder = InstructionDecoder() else { return exits }
  var offset = 0
  var hasComputedJump = false
  while offset < code.count {
    guard let instruction = decoder.decode(code, at: offset, address: address) else { return exits }
    if instruction.isReturn { exits.returnOffsets.append(UInt64(offset)) }
    if instruction.isJump || instruction.isConditionalJump {
      if let target = instruction.branchTarget {
        if target < address || target >= address + UInt64(code.count) { exits.leavesByJump = true }
      } else {
        hasComputedJump = true
      }
    }
    offset += instruction.length
  }
  exits.isComplete = !hasComputedJump
  return exits
}
