import CCapstone

/// One decoded x86-64 instruction, reduced to what the selection of probe sites needs to know.
package struct DecodedInstruction {
  /// Distance from the start of the code that was passed in, in bytes.
  package var offset: Int
  package var length: Int
  /// A value of Capstone's `x86_insn`.
  var identifier: UInt32
  var operands: [Operand]
  /// The registers that are written, in whole or in part, including those that the instruction writes implicitly.
  var writtenRegisters: [ArgumentRegister]
  var writesMemory: Bool
  /// Where in the instruction the displacement of its memory operand is, in bytes; 0 when there is none.
  package var displacementOffset = 0

  enum Operand: Equatable {
    /// `isFull` is false if the operand is an 8, 16 or 32-bit name of the register.
    case register(ArgumentRegister, isFull: Bool)
    case immediate(Int64)
    case memory
    /// Memory at this distance, in bytes, from the next instruction.
    case ripRelative(Int64)
    /// A segment, vector or other register, which cannot hold an integer argument.
    case other
  }
}

/// A Capstone handle that decodes 64-bit x86 in Intel syntax. It is not thread-safe, but cheap enough to be opened for
/// each function.
package struct InstructionDecoder: ~Copyable {
  private let handle: csh
  private let instruction: UnsafeMutablePointer<cs_insn>

  /// Returns nil only when Capstone cannot allocate memory or was built without x86.
  package init?() {
    var opened: csh = 0
    guard cs_open(CS_ARCH_X86, CS_MODE_64, &opened) == CS_ERR_OK else { return nil }
    cs_option(opened, CS_OPT_DETAIL, Int(CS_OPT_ON.rawValue))
    guard let allocated = cs_malloc(opened) else {
      cs_close(&opened)
      return nil
    }
    handle = opened
    instruction = allocated
  }

  deinit {
    var closing = handle
    cs_free(instruction, 1)
    cs_close(&closing)
  }

  /// The instruction at `offset`. nil where the bytes are not an instruction, or end in the middle of one.
  package func decode(
    _ code: UnsafeRawBufferPointer, at offset: Int, address: UInt64
  ) -> DecodedInstruction? {
    guard offset >= 0, offset < code.count, let base = code.baseAddress else { return nil }
    var cursor: UnsafePointer<UInt8>? = (base + offset).assumingMemoryBound(to: UInt8.self)
    var remaining = code.count - offset
    var virtualAddress = address &+ UInt64(offset)
    guard cs_disasm_iter(handle, &cursor, &remaining, &virtualAddress, instruction),
      let detail = instruction.pointee.detail
    else { return nil }
    var operands: [DecodedInstruction.Operand] = []
    var written: [ArgumentRegister] = []
    var writesMemory = false
    let x86 = detail.pointee.x86
    withUnsafeBytes(of: x86.operands) { bytes in
      for operand in bytes.bindMemory(to: cs_x86_op.self).prefix(Int(x86.op_count)) {
        operands.append(Self.operand(operand))
        if operand.type == X86_OP_MEM, operand.access & UInt8(CS_AC_WRITE.rawValue) != 0 {
          writesMemory = true
        }
      }
    }
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 128) { lists in
      var readCount: UInt8 = 0
      var writeCount: UInt8 = 0
      let reads = lists.baseAddress!
      let writes = reads + 64
      guard cs_regs_access(handle, instruction, reads, &readCount, writes, &writeCount) == CS_ERR_OK
      else { return }
      for index in 0..<Int(writeCount) {
        if let register = Self.register(UInt32(writes[index])) { written.append(register.0) }
      }
    }
    return DecodedInstruction(
      offset: offset, length: Int(instruction.pointee.size), identifier: instruction.pointee.id,
      operands: operands, writtenRegisters: written, writesMemory: writesMemory,
      displacementOffset: Int(x86.encoding.disp_offset))
  }

  /// The text of the instruction at `offset` in Intel syntax, or `(bad)` where there is none.
  package func text(of code: UnsafeRawBufferPointer, at offset: Int, address: UInt64) -> String {
    guard decode(code, at: offset, address: address) != nil else { return "(bad)" }
    let mnemonic = withUnsafeBytes(of: instruction.pointee.mnemonic) { Self.string($0) }
    let operands = withUnsafeBytes(of: instruction.pointee.op_str) { Self.string($0) }
    return operands.isEmpty ? mnemonic : mnemonic + " " + operands
  }

  private static func string(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  private static func operand(_ operand: cs_x86_op) -> DecodedInstruction.Operand {
    switch operand.type {
    case X86_OP_REG:
      guard let (register, isFull) = register(operand.reg.rawValue) else { return .other }
      return .register(register, isFull: isFull)
    case X86_OP_IMM: return .immediate(operand.imm)
    case X86_OP_MEM:
      return operand.mem.base == X86_REG_RIP ? .ripRelative(operand.mem.disp) : .memory
    default: return .other
    }
  }

  /// All names of the general-purpose registers, by Capstone's numbers.
  private static let registers: [UInt32: (ArgumentRegister, Bool)] = {
    let names: [(ArgumentRegister, full: x86_reg, parts: [x86_reg])] = [
      (.rax, X86_REG_RAX, [X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH]),
      (.rcx, X86_REG_RCX, [X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH]),
      (.rdx, X86_REG_RDX, [X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH]),
      (.rbx, X86_REG_RBX, [X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH]),
      (.rsp, X86_REG_RSP, [X86_REG_ESP, X86_REG_SP, X86_REG_SPL]),
      (.rbp, X86_REG_RBP, [X86_REG_EBP, X86_REG_BP, X86_REG_BPL]),
      (.rsi, X86_REG_RSI, [X86_REG_ESI, X86_REG_SI, X86_REG_SIL]),
      (.rdi, X86_REG_RDI, [X86_REG_EDI, X86_REG_DI, X86_REG_DIL]),
      (.r8, X86_REG_R8, [X86_REG_R8D, X86_REG_R8W, X86_REG_R8B]),
      (.r9, X86_REG_R9, [X86_REG_R9D, X86_REG_R9W, X86_REG_R9B]),
      (.r10, X86_REG_R10, [X86_REG_R10D, X86_REG_R10W, X86_REG_R10B]),
      (.r11, X86_REG_R11, [X86_REG_R11D, X86_REG_R11W, X86_REG_R11B]),
      (.r12, X86_REG_R12, [X86_REG_R12D, X86_REG_R12W, X86_REG_R12B]),
      (.r13, X86_REG_R13, [X86_REG_R13D, X86_REG_R13W, X86_REG_R13B]),
      (.r14, X86_REG_R14, [X86_REG_R14D, X86_REG_R14W, X86_REG_R14B]),
      (.r15, X86_REG_R15, [X86_REG_R15D, X86_REG_R15W, X86_REG_R15B]),
    ]
    var table: [UInt32: (ArgumentRegister, Bool)] = [:]
    for (register, full, parts) in names {
      table[full.rawValue] = (register, true)
      for part in parts { table[part.rawValue] = (register, false) }
    }
    return table
  }()

  private static func register(_ capstone: UInt32) -> (ArgumentRegister, Bool)? {
    registers[capstone]
  }
}
