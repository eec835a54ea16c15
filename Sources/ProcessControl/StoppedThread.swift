import CProcessControl
import ProcessImage

/// One thread of a stopped process.
package struct StoppedThread: Sendable {
  package var threadID: Int32
  /// nil when the thread could not be stopped: then it is inside the kernel and does not run code of the program, but
  /// what its registers hold is not known.
  package var registers: Registers?
  /// Where its stack ends; known for most threads that could not be stopped, too.
  package var stackPointer: UInt64?

  package struct Registers: Sendable {
    package var stackPointer: UInt64
    package var instructionPointer: UInt64
    /// Address of the thread's control block.
    package var threadBase: UInt64
    /// Registers that may hold a pointer, as far as they are not 0.
    package var values: [UInt64]
    /// Vector registers, as far as they are not 0.
    package var vectors: [UInt64]
    /// The number of the system call that the thread is in; negative when it is in none.
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

    /// Whether the thread is in exit(2) or exit_group(2), out of which nobody comes.
    package var endsByItself: Bool { systemCall == Int64(SYS_exit) || systemCall == Int64(SYS_exit_group) }
  }

  package init(threadID: Int32, registers: Registers?, stackPointer: UInt64?) {
    self.threadID = threadID
    self.registers = registers
    self.stackPointer = stackPointer
  }
}

extension StoppedThread {
  /// Where the stack of a thread ends that is inside a system call; the kernel prints it last but one.
  static func stackPointer(ofSystemCall threadID: Int32, of processID: Int32) -> UInt64? {
    guard let bytes = try? readFile("/proc/\(processID)/task/\(threadID)/syscall") else { return nil }
    let fields = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard fields.count >= 3 else { return nil }
    return UInt64(fields[fields.count - 2].dropFirst(2), radix: 16)
  }
}

extension StoppedThread.Registers {
  /// The registers of a thread that the calling thread has stopped; nil when it is gone.
  init?(ofStopped threadID: Int32) {
    var raw = cprocess_registers()
    guard cprocess_read_registers(threadID, &raw) == 0 else { return nil }
    stackPointer = raw.stack_pointer
    instructionPointer = raw.instruction_pointer
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
