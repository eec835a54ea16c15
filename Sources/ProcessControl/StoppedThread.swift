import CProcessControl
import ProcessImage

/// One thread of a process that has been stopped.
package struct StoppedThread: Sendable {
  package var threadID: Int32
  /// nil when the thread could not be stopped. It is inside of the kernel then and does not run the program's code, but
  /// the contents of its registers are not known.
  package var registers: Registers?
  /// The stack pointer: the address at which the used part of the thread's stack ends. It is known even for most
  /// threads that could not be stopped.
  package var stackPointer: UInt64?

  package struct Registers: Sendable {
    package var stackPointer: UInt64
    package var instructionPointer: UInt64
    /// The register that frames without a fixed size are found by.
    package var framePointer: UInt64 = 0
    /// Address of the thread's control block.
    package var threadBase: UInt64
    /// Registers that may hold a pointer. Those whose value is 0 are left out.
    package var values: [UInt64]
    /// The contents of vector registers, as words. Those whose value is 0 are left out.
    package var vectors: [UInt64]
    /// The number of the system call that the thread is in, or a negative number when it is in none.
    package var systemCall: Int64

    package init(
      stackPointer: UInt64, instructionPointer: UInt64, threadBase: UInt64, values: [UInt64], vectors: [UInt64] = [],
      systemCall: Int64 = -1
    ) {
      self.stackPointer = stackPointer
      self.instructionPointer = instructionPointer
      self.threadBase = threadBase
      self.values = values
      self.vectors = vectors
      self.systemCall = systemCall
    }

    /// Whether the thread is in exit(2) or exit_group(2), from which no thread returns.
    package var endsByItself: Bool { systemCall == Int64(SYS_exit) || systemCall == Int64(SYS_exit_group) }
  }

  package init(threadID: Int32, registers: Registers?, stackPointer: UInt64?) {
    self.threadID = threadID
    self.registers = registers
    self.stackPointer = stackPointer
  }
}

extension StoppedThread {
  /// The stack pointer of a thread that is inside of a system call. In the kernel's text it is the last field but one.
  static func stackPointer(ofSystemCall threadID: Int32, of processID: Int32) -> UInt64? {
    guard let bytes = try? readFile("/proc/\(processID)/task/\(threadID)/syscall") else { return nil }
    let fields = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard fields.count >= 3 else { return nil }
    return UInt64(fields[fields.count - 2].dropFirst(2), radix: 16)
  }
}

extension StoppedThread.Registers {
  /// Reads the registers of a thread that the calling thread has stopped. Returns nil when the thread is gone.
  package init?(ofStopped threadID: Int32) {
    var raw = cprocess_registers()
    guard cprocess_read_registers(threadID, &raw) == 0 else { return nil }
    stackPointer = raw.stack_pointer
    instructionPointer = raw.instruction_pointer
    framePointer = raw.frame_pointer
    threadBase = raw.thread_base
    values = withUnsafeBytes(of: raw.values) { bytes in
      bytes.bindMemory(to: UInt64.self).filter { $0 != 0 }
    }
    systemCall = raw.system_call
    vectors = [UInt64](unsafeUninitializedCapacity: 2048) { buffer, count in
      count = max(0, cprocess_read_vector_registers(threadID, buffer.baseAddress!, buffer.count))
    }
  }
}
