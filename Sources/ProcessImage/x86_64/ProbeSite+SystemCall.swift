/// The offset of the instruction after a function's first `syscall`: there the result is in rax and the arguments are
/// still in the registers of the system call. Nil when there is none.
package func offsetAfterSystemCall(code: UnsafeRawBufferPointer, address: UInt64) -> UInt64? {
  guard let decoder = InstructionDecoder() else { return nil }
  var offset = 0
  while let instruction = decoder.decode(code, at: offset, address: address) {
    let next = offset + instruction.length
    if instruction.length == 2, code[offset] == 0x0f, code[offset + 1] == 0x05 {
      return next < code.count ? UInt64(next) : nil
    }
    offset = next
  }
  return nil
}

/// A place after a function's first `syscall` where its result and arguments are in their registers: the conditional
/// jump that tells errors, which the kernel emulates, or else the very next instruction.
package func selectSiteAfterSystemCall(
  code: UnsafeRawBufferPointer, address: UInt64
) -> ProbeSite? {
  guard let decoder = InstructionDecoder(),
    let start = offsetAfterSystemCall(code: code, address: address)
  else { return nil }
  var offset = Int(start)
  // A comparison of the result, and what few loads and stores a compiler puts between; all that is needed survives them.
  for _ in 0..<6 {
    guard let instruction = decoder.decode(code, at: offset, address: address) else { break }
    if instruction.isConditionalJump {
      return ProbeSite(
        offset: UInt64(offset),
        instruction: decoder.text(of: code, at: offset, address: address), isEmulated: true,
        stackPointerIsAtReturnAddress: false)
    }
    // brk loads into rdx, which only mremap needs, and mremap compares at once.
    let needed: Set<ArgumentRegister> = [.rax, .rdi, .rsi]
    if instruction.isJump || instruction.isCall || instruction.isReturn
      || !needed.isDisjoint(with: instruction.writtenRegisters)
    {
      break
    }
    offset += instruction.length
  }
  return ProbeSite(
    offset: start, instruction: decoder.text(of: code, at: Int(start), address: address),
    isEmulated: false, stackPointerIsAtReturnAddress: false)
}

/// The function's first instruction.
package func selectEntrySite(code: UnsafeRawBufferPointer, address: UInt64) -> ProbeSite? {
  guard let decoder = InstructionDecoder(), code.count > 0 else { return nil }
  return ProbeSite(
    offset: 0, instruction: decoder.text(of: code, at: 0, address: address), isEmulated: false)
}
