import CProcessControl
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// System calls made by a stopped thread of another process on our behalf. To be used in the thread that traces it by ptrace.
///
/// The thread's registers and signal mask are as before afterwards, and the system call that its stop interrupted goes on.
package final class RemoteCalls {
  /// Why a call was not made, or failed.
  package struct Failure: Error, CustomStringConvertible {
    package var call: String
    /// An `errno`.
    package var code: Int32
    package init(call: String, code: Int32) {
      self.call = call
      self.code = code
    }

    package var description: String { "\(call): \(errorMessage(code))" }
  }

  private let thread: Int32
  private let processID: Int32
  private let stackPointer: UInt64
  /// Where there is an instruction that makes a system call.
  private let instruction: UInt64
  /// Whether the thread was stopped by an interrupt, to whose stop it has to come back.
  private let settles: Bool
  private var hasCalled = false

  /// - Parameters:
  ///   - thread: a stopped thread.
  ///   - settles: whether it stands in a stop by `cprocess_interrupt`; false when it stands behind a system call.
  package init(
    thread: Int32, processID: Int32, mappings: [Mapping], registers: StoppedThread.Registers, settles: Bool
  ) throws(Failure) {
    self.thread = thread
    self.processID = processID
    self.settles = settles
    stackPointer = registers.stackPointer
    guard !cprocess_is_in_sequence(thread) else { throw Failure(call: "restartable sequence", code: EBUSY) }
    guard let found = Self.findInstruction(processID, mappings) else {
      throw Failure(call: "no instruction for system calls found", code: ENOENT)
    }
    instruction = found
  }

  /// The kernel's own page of code in each process has one.
  private static func findInstruction(_ processID: Int32, _ mappings: [Mapping]) -> UInt64? {
    guard let code = mappings.first(where: { $0.path == "[vdso]" && $0.permissions.contains(.execute) }),
      let memory = try? RemoteMemory(processID: processID)
    else { return nil }
    let bytes = memory.bytes(at: code.start, count: Int(min(code.end &- code.start, 1 << 16)))
    let offset = bytes.indices.dropLast().first { bytes[$0] == 0x0f && bytes[$0 + 1] == 0x05 }
    return offset.map { code.start &+ UInt64($0) }
  }

  /// Makes a call. Throws also when the call returned an error.
  @discardableResult
  package func call(_ name: String, _ number: Int, _ arguments: UInt64...) throws(Failure) -> UInt64 {
    var all = [UInt64](repeating: 0, count: 6)
    for (index, argument) in arguments.prefix(6).enumerated() { all[index] = argument }
    var result: Int64 = 0
    hasCalled = true
    let code = cprocess_call(thread, instruction, Int64(number), all, &result)
    guard code == 0 else { throw Failure(call: name, code: -code) }
    guard result >= 0 || result < -4095 else { throw Failure(call: name, code: Int32(clamping: 0 &- result)) }
    return UInt64(bitPattern: result)
  }

  /// Puts a text below what the thread uses of its stack, for a call that takes an address of it.
  package func place(text: String) throws(Failure) -> UInt64 {
    // The red zone is 128 bytes.
    let address = (stackPointer &- 512) & ~15
    let bytes = Array(text.utf8) + [0]
    guard bytes.count <= 256, cprocess_poke(thread, address, bytes, bytes.count) == 0 else {
      throw Failure(call: "writing to the stack", code: EFAULT)
    }
    return address
  }

  /// Writes to the process's memory, also where it may not write itself.
  package func poke(_ bytes: [UInt8], at address: UInt64) throws(Failure) {
    let code = cprocess_poke(thread, address, bytes, bytes.count)
    guard code == 0 else { throw Failure(call: "writing code", code: -code) }
  }

  /// To be called behind the last call.
  package func finish() {
    if settles, hasCalled { _ = cprocess_settle(thread) }
    hasCalled = false
  }
}
