import BPFRuntime
import CTraceABI

/// Counts for each process slot how often code was unmapped or replaced. An address means the same code as long as the
/// number stays the same. The stack walker raises the number, too, when it finds that code was replaced.
struct MappingEpochs {
  private let memory: MappedArray

  init(object: BPFObject) throws(BPFError) {
    memory = try object.map("lt_unwind_processes").memoryMapped()
  }

  private func word(_ slot: UInt32) -> UnsafeMutablePointer<UInt32> {
    let record = memory.bytes.baseAddress!.assumingMemoryBound(to: lt_unwind_process.self) + Int(slot)
    return UnsafeMutableRawPointer(record).advanced(
      by: MemoryLayout<lt_unwind_process>.offset(of: \.epoch)!
    ).assumingMemoryBound(to: UInt32.self)
  }

  subscript(slot: UInt32) -> UInt32 { ctrace_load_32(word(slot)) }

  /// Begins a new epoch.
  func raise(_ slot: UInt32) { ctrace_add_32(word(slot), 1) }
}
