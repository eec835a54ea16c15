import CTraceABI
import ProcessImage

extension AllocatorProbe {
  /// The word that tells the BPF program what to do at this probe; its layout is in allocation_abi.h.
  package func attachCookie(probeIndex: Int, processSlot: Int) -> UInt64 {
    var cookie = UInt64(function.kindCode)
    if function.traits.contains(.mayNest) {
      cookie |= UInt64(LT_COOKIE_MAY_NEST) << UInt64(LT_COOKIE_FLAGS_SHIFT)
    }
    for (position, argument) in function.arguments.enumerated() {
      let register = site.argumentRegisters[argument] ?? ArgumentRegister.abi[argument]
      cookie |= UInt64(register.cookieCode) << UInt64(Int(LT_COOKIE_REGISTERS_SHIFT) + 4 * position)
    }
    cookie |= UInt64(UInt16(truncatingIfNeeded: probeIndex)) << UInt64(LT_COOKIE_PROBE_SHIFT)
    cookie |= UInt64(UInt16(truncatingIfNeeded: processSlot)) << UInt64(LT_COOKIE_SLOT_SHIFT)
    return cookie
  }
}

extension ArgumentRegister {
  /// `enum lt_argument_register`. rsp has no code, as it never holds an argument.
  var cookieCode: UInt32 {
    let code: lt_argument_register =
      switch self {
      case .rdi, .rsp: LT_REG_DI
      case .rsi: LT_REG_SI
      case .rdx: LT_REG_DX
      case .rcx: LT_REG_CX
      case .r8: LT_REG_R8
      case .r9: LT_REG_R9
      case .rax: LT_REG_AX
      case .rbx: LT_REG_BX
      case .rbp: LT_REG_BP
      case .r10: LT_REG_R10
      case .r11: LT_REG_R11
      case .r12: LT_REG_R12
      case .r13: LT_REG_R13
      case .r14: LT_REG_R14
      case .r15: LT_REG_R15
      }
    return code.rawValue
  }
}
