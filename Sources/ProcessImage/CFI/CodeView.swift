import CTraceABI

/// What can be told of code by its bytes, where there is no call-frame information. `BPF/unwind/steps.bpf.h` does the same.
package struct CodeView {
  /// Whether an address is in executable memory.
  let isCode: (UInt64) -> Bool
  /// Whether there is call-frame information for an address in executable memory; nil where nothing is known of it.
  let hasRow: (UInt64) -> Bool?
  /// The 8 bytes of code at an address, the first byte lowest; nil if they cannot be read.
  let word: (UInt64) -> UInt64?

  package init(
    isCode: @escaping (UInt64) -> Bool, hasRow: @escaping (UInt64) -> Bool?, word: @escaping (UInt64) -> UInt64?
  ) {
    self.isCode = isCode
    self.hasRow = hasRow
    self.word = word
  }

  /// Code whose bytes cannot be read.
  package init(isCode: @escaping (UInt64) -> Bool) {
    self.init(isCode: isCode, hasRow: { _ in nil }, word: { _ in nil })
  }

  /// What stands in front of a return address.
  enum Call: Equatable {
    /// No call.
    case none
    /// A call of something else, one that does not tell what it calls, or code that cannot be read.
    case some
    /// A call of the function in question, if no other begins between: where it begins.
    case own(UInt64)
  }

  /// Whether a call instruction stands in front of a return address.
  func isBehindCall(_ address: UInt64) -> Bool {
    // The page of code that is executed may have been dropped.
    guard let code = word(address &- UInt64(LT_CALL_BYTES)) else { return isCode(address &- 1) }
    return lt_is_direct_call(code) || lt_is_slot_call(code) || lt_is_computed_call(code)
  }

  func call(before address: UInt64, in lookup: UInt64) -> Call {
    guard var code = word(address &- UInt64(LT_CALL_BYTES)) else { return .some }
    var target = lt_call_operand(code, address)
    var slot: UInt64 = 0
    if lt_is_slot_call(code) {
      slot = target
    } else if !lt_is_direct_call(code) {
      return lt_is_computed_call(code) ? .some : .none
    }
    if slot == 0, lookup &- target >= UInt64(LT_UNWIND_FUNCTION_BYTES) {
      // Perhaps an entry of a procedure linkage table.
      guard let entry = word(target) else { return .some }
      code = entry
      let jump = target &+ lt_landing_pad_bytes(code)
      if jump != target {
        guard let behind = word(jump) else { return .some }
        code = behind
      }
      slot = lt_linkage_slot(code, jump)
    }
    if slot != 0 {
      guard let value = word(slot) else { return .some }
      target = value
    }
    switch hasRow(target) {
    case nil, true: return .some
    case false: return lookup &- target < UInt64(LT_UNWIND_FUNCTION_BYTES) ? .own(target) : .some
    }
  }

  /// What the beginning of a function does with the stack, up to the place in it where it is now.
  func prologue(ofFunctionAt start: UInt64, upTo lookup: UInt64) -> lt_prologue {
    var prologue = lt_prologue(address: start, bytes: 0, frame_pointer: 0)
    for _ in 0..<Int(LT_UNWIND_PROLOGUE_INSTRUCTIONS) {
      guard prologue.address < lookup, let code = word(prologue.address), lt_prologue_step(&prologue, code) else {
        break
      }
    }
    return prologue
  }
}
