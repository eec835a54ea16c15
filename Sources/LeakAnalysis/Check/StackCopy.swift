import ProcessControl
import ProcessImage

/// The lower part of a thread's stack as it was while the thread stood still, with the registers that a walk begins with.
package struct StackCopy: Sendable {
  package var threadID: Int32
  package var instructionPointer: UInt64
  package var stackPointer: UInt64
  package var framePointer: UInt64
  package var bytes: [UInt8]

  package var range: Range<UInt64> {
    stackPointer..<stackPointer + min(UInt64(bytes.count), .max - stackPointer)
  }

  private static let mostThreads = 64
  private static let mostBytes = 32 << 10

  /// Copies the stacks of stopped threads, a few at most: a millisecond of the pause.
  static func take(of threads: [StoppedThread], memory: some MemoryReader) -> [StackCopy] {
    threads.prefix(mostThreads).compactMap { thread in
      guard let registers = thread.registers else { return nil }
      return StackCopy(
        threadID: thread.threadID, instructionPointer: registers.instructionPointer,
        stackPointer: registers.stackPointer, framePointer: registers.framePointer,
        bytes: memory.bytes(at: registers.stackPointer, count: mostBytes))
    }
  }
}
