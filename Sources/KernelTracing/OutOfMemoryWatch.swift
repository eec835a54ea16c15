import BPFRuntime
import CTraceABI
import CTraceObjects

/// Hears of every process that the OOM killer chooses, at that moment: the process still has its memory then, or is about to
/// lose it. This takes one program at the tracepoint `oom/mark_victim`, which costs nothing until it runs.
package final class OutOfMemoryWatch {
  package struct Victim: Hashable, Sendable {
    package var processID: Int32
    /// The kernel's short name; nil before Linux 6.8, where the kernel does not tell.
    package var command: String?
    /// CLOCK_MONOTONIC, nanoseconds.
    package var time: UInt64

    package init(processID: Int32, command: String?, time: UInt64) {
      self.processID = processID
      self.command = command
      self.time = time
    }
  }

  private let buffer: RingBuffer
  private let lost: BPFMap
  private let link: Link

  /// - Throws: `BPFError` where the kernel has no such tracepoint or does not let us attach.
  package init() throws(BPFError) {
    let image = ctrace_oom_victims()
    let object = try OpenBPFObject(
      name: "oom_victims", bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size)
    ).load()
    buffer = try RingBuffer(map: object.map("victims"))
    lost = try object.map("lost_victims")
    link = try Link.rawTracepoint(object.program("on_mark_victim"), name: "mark_victim")
  }

  /// Readable when there is a victim.
  package var pollDescriptor: Int32 { buffer.pollDescriptor }

  /// Victims since the last call, in the order in which they were chosen.
  package func take() -> [Victim] {
    var victims: [Victim] = []
    buffer.consume { record in
      guard record.count >= MemoryLayout<lt_victim>.size else { return }
      let victim = record.loadUnaligned(as: lt_victim.self)
      let name = withUnsafeBytes(of: victim.command) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      victims.append(
        Victim(
          processID: Int32(bitPattern: victim.process_id), command: name.isEmpty ? nil : name, time: victim.time))
    }
    return victims
  }

  /// How many victims were not reported because too many came at once.
  package var lostVictims: UInt64 { lost.value(UInt64.self, for: UInt32(0)) ?? 0 }
}
