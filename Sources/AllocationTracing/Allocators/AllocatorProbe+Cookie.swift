import Allocators
import CTraceABI
import ProcessImage

extension AllocatorProbe {
  /// The word that tells the BPF program what to do at this probe; its layout is in allocation_abi.h.
  package func attachCookie(probeIndex: Int, processSlot: Int) -> UInt64 {
    var cookie = function.attachCookie(probeIndex: probeIndex, registers: site.argumentRegisters)
    if function.traits.contains(.mayNest) {
      cookie |= UInt64(LT_COOKIE_MAY_NEST) << UInt64(LT_COOKIE_FLAGS_SHIFT)
    }
    if case .returnProbeDespiteExceptions = returns {
      cookie |= UInt64(LT_COOKIE_MAY_THROW) << UInt64(LT_COOKIE_FLAGS_SHIFT)
    }
    if case .returnInstructions = returns {
      cookie |= UInt64(LT_COOKIE_RETURNS_BY_SITE) << UInt64(LT_COOKIE_FLAGS_SHIFT)
    }
    cookie |= UInt64(UInt16(truncatingIfNeeded: processSlot)) << UInt64(LT_COOKIE_SLOT_SHIFT)
    return cookie
  }
}

extension AllocatorFunction {
  /// What of that word is the function's own, of no process in particular.
  ///
  /// - Parameter registers: where arguments are that are not in the ABI's registers, by their index.
  func attachCookie(probeIndex: Int, registers: [Int: ArgumentRegister] = [:]) -> UInt64 {
    var cookie = UInt64(kindCode) | UInt64(UInt16(truncatingIfNeeded: probeIndex)) << UInt64(LT_COOKIE_PROBE_SHIFT)
    for (position, argument) in arguments.enumerated() {
      let register = registers[argument] ?? ArgumentRegister.abi[argument]
      cookie |= UInt64(register.rawValue) << UInt64(Int(LT_COOKIE_REGISTERS_SHIFT) + 4 * position)
    }
    return cookie
  }

  /// `enum lt_function_kind`.
  var kindCode: UInt32 {
    let code: lt_function_kind =
      switch kind {
      case .allocate: LT_ALLOCATE
      case .allocateCounted: LT_ALLOCATE_COUNTED
      case .reallocate: LT_REALLOCATE
      case .reallocateCounted: LT_REALLOCATE_COUNTED
      case .allocateToPointer: LT_ALLOCATE_TO_POINTER
      case .free: LT_FREE
      case .map: LT_MAP
      case .remap: LT_REMAP
      case .unmap: LT_UNMAP
      case .createThread: LT_CREATE_THREAD
      case .programBreak: LT_BREAK
      }
    return code.rawValue
  }
}
