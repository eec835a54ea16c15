import CTraceABI

/// The walker's 64-bit rules and their 16-bit codes; the layout of both is in `unwind_abi.h`.
package enum CFIRule {
  package static let end = UInt64(LT_UNWIND_RULE_END.rawValue)
  package static let unsupported = UInt64(LT_UNWIND_RULE_UNSUPPORTED.rawValue)
  package static let noRow = UInt64(LT_UNWIND_RULE_NO_ROW.rawValue)

  /// The rules with a fixed identifier, at their identifiers.
  package static let fixed: [UInt64] = [unsupported, noRow, end, unsupported]

  /// The code of a plain rule, or nil if the rule needs a place in the dictionary.
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

/// The state that a call-frame program computes, for the registers that the walker follows.
struct CFIState: Equatable {
  /// Where the CFA is.
  enum CFA: Equatable {
    case register(UInt64)
    /// `*(register + offset) + addend`.
    case dereferenced(UInt64, addend: UInt64)
    /// The standard expression of a procedure linkage table: CFA = sp + offset + (pc & 15 >= threshold) << 3.
    case linkageTable(threshold: UInt64)
    case unsupported
  }

  /// Where a register of the caller is.
  enum Location: Equatable {
    /// Nothing said, or in the register itself.
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

  /// A signal frame counts only if it says what the kernel's `struct rt_sigframe` looks like: the CFA is the
  /// interrupted stack pointer, and it, the frame pointer and the pc are where `struct sigcontext` has them.
  private func signalRule(pcOffset: Int64) -> UInt64 {
    guard cfa == .dereferenced(Self.stackPointerColumn, addend: 0),
      cfaOffset == pcOffset &- (SignalFrame.programCounter - SignalFrame.stackPointer),
      framePointer == .relative(Self.stackPointerColumn, pcOffset &- SignalFrame.programCounter)
    else { return CFIRule.unsupported }
    return CFIRule.encode(
      LT_UNWIND_RULE_SIGNAL, cfaOffset: pcOffset &- SignalFrame.programCounter &- SignalFrame.registers)
  }
}
