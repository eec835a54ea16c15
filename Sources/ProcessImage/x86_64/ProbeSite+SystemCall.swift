/// The offset of the instruction that follows the first `syscall` of a function. At that point the result is in rax,
/// and the arguments are still in the registers of the system call. nil when there is no `syscall`.
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

/// A place after the first `syscall` of a function where the result and the arguments are still in their registers. It
/// is the conditional jump that tells errors from results, which the kernel emulates, or otherwise the instruction that
/// follows the `syscall`.
package func selectSiteAfterSystemCall(
  code: UnsafeRawBufferPointer, address: UInt64
) -> ProbeSite? {
  guard let decoder = InstructionDecoder(),
    let start = offsetAfterSystemCall(code: code, address: address)
  else { return nil }
  var offset = Int(start)
  // The jump is preceded by a comparison of the result and by the few loads and stores that a compiler puts in between.
  // The needed registers must survive all of them.
  for _ in 0..<6 {
    guard let instruction = decoder.decode(code, at: offset, address: address) else { break }
    if instruction.isConditionalJump {
      return ProbeSite(
        offset: UInt64(offset),
        instruction: decoder.text(of: code, at: offset, address: address), isEmulated: true,
        stackPointerIsAtReturnAddress: false)
    }
    // rdx is not among them. The code of brk loads into it; only mremap needs it, and there the comparison follows at
    // once.
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

/// The function's first instruction that can be probed.
package func selectEntrySite(
  code: UnsafeRawBufferPointer, address: UInt64, emulation: UprobeEmulation = .runningKernel
) -> ProbeSite? {
  guard let decoder = InstructionDecoder(), code.count > 0 else { return nil }
  let first = emulation.endsForkedChildren(probedAt: code) ? 5 : 0
  return ProbeSite(
    offset: UInt64(first), instruction: decoder.text(of: code, at: first, address: address), isEmulated: false)
}
