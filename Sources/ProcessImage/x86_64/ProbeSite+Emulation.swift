import Glibc

/// How the kernel runs an instruction on which a uprobe sits.
package enum UprobeExecution: Hashable, Sendable {
  /// The trap handler itself carries out the instruction.
  case emulated
  /// The kernel single-steps a copy of the instruction, which costs a second trap.
  case singleStepped
  /// The kernel refuses to place a probe there.
  case refused
}

/// Knows which instructions the kernel emulates for uprobes on x86-64.
///
/// The rules follow `branch_setup_xol_ops`, `push_setup_xol_ops` and `uprobe_init_insn` in Linux's
/// arch/x86/kernel/uprobes.c. An instruction that is not proven to be emulated counts as single-stepped. Nanoseconds
/// per hit, measured on Linux 6.18 with a uprobe event: push 1,110, nop 1,070, jmp 1,050, the long NOPs below 1,020 to
/// 1,140; endbr64 10,600, test 11,700, and 16,200 for the NOP `0f 1f c0`, which is not one of the kernel's own.
package struct UprobeEmulation: Hashable, Sendable {
  /// Whether the kernel also emulates the multi-byte NOPs that it uses itself (since Linux 6.18).
  ///
  /// It then replaces a probed NOP of 5 bytes by a call to a page of its own, and does two kinds of harm: the call writes below
  /// the stack pointer, and a forked child has the call but not the page, so that it ends by SIGSEGV there. Such a NOP is
  /// never probed.
  package var emulatesLongNops: Bool

  package init(emulatesLongNops: Bool) { self.emulatesLongNops = emulatesLongNops }

  /// What every supported kernel (5.10 and later) emulates.
  package static let baseline = UprobeEmulation(emulatesLongNops: false)

  /// What the kernel of version `major.minor` emulates.
  package init(kernelMajor major: Int, minor: Int) {
    emulatesLongNops = (major, minor) >= (6, 18)
  }

  /// The kernel's own multi-byte NOPs (`x86_nops`). They are compared byte for byte; NOPs in any other encoding are
  /// single-stepped.
  private static let longNops: [[UInt8]] = [
    [0x0f, 0x1f, 0x00],
    [0x0f, 0x1f, 0x40, 0x00],
    [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  ]

  /// Whether some code begins with an instruction that must not be probed; see ``emulatesLongNops``.
  package func endsForkedChildren(probedAt code: UnsafeRawBufferPointer) -> Bool {
    // They begin with 0f 1f or with prefixes.
    guard emulatesLongNops, let first = code.first, [0x0f, 0x66, 0x2e, 0x3e].contains(first),
      let decoder = InstructionDecoder(),
      let instruction = decoder.decode(code, at: 0, address: 0)
    else { return false }
    return instruction.isNop && instruction.length == 5
  }

  /// How the kernel runs a probed instruction. `bytes` has to hold all bytes of it.
  package func execution(of bytes: UnsafeRawBufferPointer) -> UprobeExecution {
    if bytes.count == 5, endsForkedChildren(probedAt: bytes) { return .refused }
    var index = 0
    var hasOperandSizePrefix = false
    var prefixes = 0
    prefixScan: while index < bytes.count {
      switch bytes[index] {
      case 0x26, 0x2e, 0x36, 0x3e, 0xf0: return .refused
      case 0x66: hasOperandSizePrefix = true
      case 0x64, 0x65, 0x67, 0xf2, 0xf3: break
      default: break prefixScan
      }
      index += 1
      prefixes += 1
    }
    guard index < bytes.count else { return .singleStepped }
    let opcode = bytes[index]
    let isShort = index == 0
    switch opcode {
    case 0x50...0x57: return isShort && bytes.count == 1 ? .emulated : .singleStepped
    case 0x41:
      // A REX.B prefix. push may have one. Before 0x90 it makes `xchg r8, rax`, which the kernel would wrongly run as a
      // NOP.
      guard isShort, bytes.count == 2, (0x50...0x57).contains(bytes[1]) else {
        return bytes.count > index + 1 && bytes[index + 1] == 0x90 ? .refused : .singleStepped
      }
      return .emulated
    case 0x40...0x4f:
      return bytes.count > index + 1 && bytes[index + 1] == 0x90 ? .refused : .singleStepped
    case 0x90:
      return prefixes == 0 || (prefixes == 1 && hasOperandSizePrefix) ? .emulated : .singleStepped
    case 0xe8, 0xe9, 0xeb, 0x70...0x7f:
      return hasOperandSizePrefix ? .refused : .emulated
    case 0x0f:
      guard index + 1 < bytes.count else { return .singleStepped }
      if (0x80...0x8f).contains(bytes[index + 1]) {
        return hasOperandSizePrefix ? .refused : .emulated
      }
      // The kernel's table of instructions that may be probed does not include syscall, ud2 and similar ones.
      if [0x05, 0x07, 0x0b, 0x34, 0x35].contains(bytes[index + 1]) { return .refused }
      return emulatesLongNops && Self.longNops.contains { bytes.elementsEqual($0) }
        ? .emulated : .singleStepped
    case 0xcc, 0xcd, 0xcf, 0xf1, 0xf4, 0xfa, 0xfb, 0xe4...0xe7, 0xec...0xef, 0x6c...0x6f:
      return .refused
    default: return .singleStepped
    }
  }
}

extension UprobeEmulation {
  /// What the running kernel emulates, according to its release number.
  package static var runningKernel: UprobeEmulation {
    var names = utsname()
    guard uname(&names) == 0 else { return .baseline }
    let release = withUnsafeBytes(of: &names.release) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else { return .baseline }
    return UprobeEmulation(kernelMajor: numbers[0], minor: numbers[1])
  }
}
