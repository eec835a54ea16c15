import CElfUtils

/// Facts about files and code of x86-64 that more than one module needs.
package enum Processor {
  /// The value of `e_machine` in ELF files for this processor.
  package static let elfMachine = UInt16(EM_X86_64)

  /// How many bytes below the stack pointer a function that calls no other may use for its data.
  package static let redZoneInBytes: UInt64 = 128

  /// `mov $15, %rax; syscall`: the code that leaves a signal handler (`__restore_rt`).
  package static let signalReturn: [UInt8] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]

  /// Whether a relocation of this type puts the address of a function into a slot of the global offset table.
  package static func bindsFunction(relocationType type: UInt32) -> Bool {
    type == UInt32(R_X86_64_JUMP_SLOT) || type == UInt32(R_X86_64_GLOB_DAT)
  }

  /// The address of the slot through which a stub of a procedure linkage table jumps. The stub is `jmp [rip+x]`; an
  /// `endbr64` may precede it, and it may have a `bnd` prefix.
  package static func slot(ofStub stub: UnsafeRawBufferPointer, at address: UInt64) -> UInt64? {
    var position: UInt64 = stub.value(at: 0, as: UInt32.self) == 0xfa1e_0ff3 ? 4 : 0
    if stub.value(at: position, as: UInt8.self) == 0xf2 { position += 1 }
    guard stub.value(at: position, as: UInt16.self) == 0x25ff,
      let distance = stub.value(at: position + 2, as: Int32.self)
    else { return nil }
    return address &+ position &+ 6 &+ UInt64(bitPattern: Int64(distance))
  }

  /// Whether bytes of code may contain a call of, or a jump to, one of the targets. The bytes are read at every
  /// alignment, so the answer errs on the side of yes.
  ///
  /// - Parameter computed: the answer for a call through a register, which may lead anywhere.
  package static func mayCall(
    code: UnsafeRawBufferPointer, address: UInt64, computed: Bool, isTarget: (BranchDestination) -> Bool
  ) -> Bool {
    for position in code.indices {
      switch code[position] {
      case 0xe8, 0xe9:
        guard position + 5 <= code.count else { continue }
        let distance = code.loadUnaligned(fromByteOffset: position + 1, as: Int32.self)
        if isTarget(.address(address &+ UInt64(position + 5) &+ UInt64(bitPattern: Int64(distance)))) { return true }
      case 0xff:
        guard position + 2 <= code.count else { continue }
        let operands = code[position + 1]
        if operands == 0x15 || operands == 0x25, position + 6 <= code.count {
          let distance = code.loadUnaligned(fromByteOffset: position + 2, as: Int32.self)
          if isTarget(.slot(address &+ UInt64(position + 6) &+ UInt64(bitPattern: Int64(distance)))) { return true }
        }
        if computed, operands & 0xf8 == 0xd0 || operands & 0xf8 == 0xe0 { return true }
      default: continue
      }
    }
    return false
  }
}
