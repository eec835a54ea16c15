import CTraceABI

/// The rules by which the stack walker goes from one frame to the next: as 64-bit values, and as the 16-bit codes that
/// stand for them in a table. `unwind_abi.h` describes the layout of both.
package enum CFIRule {
  package static let end = UInt64(LT_UNWIND_RULE_END.rawValue)
  package static let unsupported = UInt64(LT_UNWIND_RULE_UNSUPPORTED.rawValue)
  package static let noRow = UInt64(LT_UNWIND_RULE_NO_ROW.rawValue)

  /// The rules whose identifiers are fixed. Each is stored at the index that is its identifier.
  package static let fixed: [UInt64] = [unsupported, noRow, end, unsupported]

  /// The code of a rule that fits in 16 bits (a plain code), or nil if the rule needs a place in the dictionary of
  /// rules.
  @inline(__always)
  package static func plainCode(_ rule: UInt64) -> UInt16? {
    let kind = rule & 0xffff
    let words = Int64(bitPattern: rule) >> 32 / 8 - 1
    let slot = -Int64(Int16(truncatingIfNeeded: rule >> 16)) / 8
    guard kind <= UInt64(LT_UNWIND_RULE_FRAME_POINTER.rawValue), rule >> 32 & 7 == 0, rule >> 16 & 7 == 0,
      words >= 0, words <= Int64(LT_UNWIND_CODE_WORDS_MASK),
      slot == 0 || (slot >= 2 && slot <= Int64(LT_UNWIND_CODE_SLOT_MASK) + 1)
    else { return nil }
    return UInt16(LT_UNWIND_CODE_PLAIN)
      | (kind == 0 ? 0 : UInt16(LT_UNWIND_CODE_FRAME_POINTER))
      | UInt16(max(0, slot - 1)) << UInt16(LT_UNWIND_CODE_SLOT_SHIFT) | UInt16(words)
  }

  /// The rule that a plain code stands for.
  package static func rule(plainCode code: UInt16) -> UInt64 {
    let countsFromFramePointer = code & UInt16(LT_UNWIND_CODE_FRAME_POINTER) != 0
    let slot = Int64(code >> UInt16(LT_UNWIND_CODE_SLOT_SHIFT)) & Int64(LT_UNWIND_CODE_SLOT_MASK)
    let words = Int64(code & UInt16(LT_UNWIND_CODE_WORDS_MASK))
    return encode(
      countsFromFramePointer ? LT_UNWIND_RULE_FRAME_POINTER : LT_UNWIND_RULE_STACK_POINTER, cfaOffset: (words + 1) * 8,
      framePointerOffset: slot == 0 ? 0 : -8 * (slot + 1))
  }

  @inline(__always)
  static func encode(
    _ kind: lt_unwind_rule_kind, cfaOffset: Int64, framePointerOffset: Int64 = 0, auxiliary: UInt64 = 0
  ) -> UInt64 {
    guard cfaOffset == Int64(Int32(truncatingIfNeeded: cfaOffset)),
      framePointerOffset == Int64(Int16(truncatingIfNeeded: framePointerOffset)), auxiliary <= 0xff
    else { return unsupported }
    return UInt64(UInt32(truncatingIfNeeded: cfaOffset)) << 32
      | UInt64(UInt16(truncatingIfNeeded: framePointerOffset)) << 16
      | auxiliary << 8 | UInt64(kind.rawValue)
  }
}

/// The state that a call-frame program computes, for those registers that the stack walker follows.
struct CFIState: Equatable {
  /// How the CFA (the canonical frame address) is computed.
  enum CFA: Equatable {
    case register(UInt64)
    /// `*(register + offset) + addend`.
    case dereferenced(UInt64, addend: UInt64)
    /// The standard expression for a procedure linkage table: CFA = sp + offset + (pc & 15 >= threshold) << 3.
    case linkageTable(threshold: UInt64)
    case unsupported
  }

  /// Where the value that a register has in the caller is found.
  enum Location: Equatable {
    /// In the register itself; also when the program says nothing about the register.
    case same
    case undefined
    /// In memory at CFA + offset.
    case offset(Int64)
    /// In memory at register + offset.
    case relative(UInt64, Int64)
    case unsupported
  }

  var cfa = CFA.unsupported
  var cfaOffset: Int64 = 0
  var framePointer = Location.same
  var stackPointer = Location.same
  var returnAddress = Location.same

  /// The walker's rule for this state.
  func rule(isSignalFrame: Bool) -> UInt64 {
    switch returnAddress {
    case .undefined: return CFIRule.end
    case .offset(-8): break
    case .relative(Self.stackPointerColumn, let offset) where isSignalFrame: return signalRule(pcOffset: offset)
    default: return CFIRule.unsupported
    }
    guard stackPointer == .same else { return CFIRule.unsupported }
    switch cfa {
    case .register(Self.stackPointerColumn):
      return plainRule(LT_UNWIND_RULE_STACK_POINTER, register: Self.stackPointerColumn)
    case .register(Self.framePointerColumn):
      return plainRule(LT_UNWIND_RULE_FRAME_POINTER, register: Self.framePointerColumn)
    case .dereferenced(Self.stackPointerColumn, let addend):
      return dereferencedRule(LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, addend: addend)
    case .dereferenced(Self.framePointerColumn, let addend):
      return dereferencedRule(LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED, addend: addend)
    case .linkageTable(let threshold):
      guard framePointer == .same else { return CFIRule.unsupported }
      return CFIRule.encode(LT_UNWIND_RULE_PLT, cfaOffset: cfaOffset, auxiliary: threshold)
    default: return CFIRule.unsupported
    }
  }

  private func plainRule(_ kind: lt_unwind_rule_kind, register: UInt64) -> UInt64 {
    switch framePointer {
    case .same, .undefined: return CFIRule.encode(kind, cfaOffset: cfaOffset)
    case .offset(let offset): return plainRule(kind, framePointerOffset: offset)
    case .relative(register, let offset):
      return plainRule(kind, framePointerOffset: offset &- cfaOffset)
    default: return CFIRule.unsupported
    }
  }

  @inline(__always)
  private func plainRule(_ kind: lt_unwind_rule_kind, framePointerOffset: Int64) -> UInt64 {
    guard framePointerOffset != 0 else { return CFIRule.unsupported }
    return CFIRule.encode(kind, cfaOffset: cfaOffset, framePointerOffset: framePointerOffset)
  }

  private func dereferencedRule(_ kind: lt_unwind_rule_kind, addend: UInt64) -> UInt64 {
    guard addend < UInt64(LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE) else { return CFIRule.unsupported }
    switch framePointer {
    case .same, .undefined:
      return CFIRule.encode(kind, cfaOffset: cfaOffset, auxiliary: addend)
    case .offset(let offset) where offset != 0:
      return CFIRule.encode(kind, cfaOffset: cfaOffset, framePointerOffset: offset, auxiliary: addend)
    case .relative(Self.framePointerColumn, let offset):
      return CFIRule.encode(
        kind, cfaOffset: cfaOffset, framePointerOffset: offset,
        auxiliary: addend | UInt64(LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE))
    default: return CFIRule.unsupported
    }
  }

  /// The rule for a signal frame. It is accepted only if the call-frame information describes the kernel's `struct
  /// rt_sigframe`: the CFA must be the interrupted stack pointer, and the stack pointer, the frame pointer and the pc
  /// must be where `struct sigcontext` has them.
  private func signalRule(pcOffset: Int64) -> UInt64 {
    guard cfa == .dereferenced(Self.stackPointerColumn, addend: 0),
      cfaOffset == pcOffset &- (SignalFrame.programCounter - SignalFrame.stackPointer),
      framePointer == .relative(Self.stackPointerColumn, pcOffset &- SignalFrame.programCounter)
    else { return CFIRule.unsupported }
    return CFIRule.encode(
      LT_UNWIND_RULE_SIGNAL, cfaOffset: pcOffset &- SignalFrame.programCounter &- SignalFrame.registers)
  }
}
