import Accounting
import BPFRuntime
import CTraceABI
import TraceModel

/// Answers the stack walker's questions about code that it does not know, and completes the stacks that broke off because
/// their code was not known yet.
final class StackCompletion {
  private let tables: TraceTables
  private let processes: ProcessTable
  private let spaces: AddressSpaces
  private let requests: RingBuffer?
  private let samples: RingBuffer?
  /// What to add to the walker's counters because stacks were completed afterwards; by counter.
  private var corrections = [Int64](repeating: 0, count: Int(LT_UNWIND_COUNTER_COUNT.rawValue))
  /// Copies of stacks from programs whose exec event has not been handled yet.
  private var deferred: [[UInt8]] = []
  /// How many stacks broke off in the kernel and were completed here.
  private(set) var completedCount: UInt64 = 0

  init(object: BPFObject, tables: TraceTables, processes: ProcessTable, spaces: AddressSpaces) throws(BPFError) {
    self.tables = tables
    self.processes = processes
    self.spaces = spaces
    guard spaces.unwindTables != nil else {
      requests = nil
      samples = nil
      return
    }
    requests = try RingBuffer(map: object.map("lt_unwind_requests"))
    samples = try RingBuffer(map: object.map("lt_unwind_samples"))
  }

  /// Descriptors that become readable when there is something to answer or to complete.
  var pollDescriptors: [Int32] { [requests, samples].compactMap { $0?.pollDescriptor } }

  // MARK: Requests

  func answerRequests() {
    guard let unwindTables = spaces.unwindTables, let requests else { return }
    var asked: [UInt32: (process: TracedProcess, address: UInt64)] = [:]
    requests.consume { record in
      guard record.count >= MemoryLayout<lt_unwind_request>.size else { return }
      let request = record.loadUnaligned(as: lt_unwind_request.self)
      if let process = processes.process(slot: request.process_slot), process.state == .running {
        asked[request.process_slot] = (process, request.address)
      }
    }
    for (process, address) in asked.values {
      // It may have ended meanwhile: its exit event follows.
      try? spaces.read(process, askedFor: address)
    }
    unwindTables.rearmRequests()
  }

  // MARK: Samples

  /// Completes the stacks that broke off before their code was known.
  ///
  /// - Parameter ending: a process whose image has just ended. Its last samples came before that event, and they can only be
  ///   completed with what was published for it already: its mappings are not read again.
  func completeSamples(lastOf ending: TracedProcess? = nil) {
    guard let unwindTables = spaces.unwindTables, let samples else { return }
    var earlier: [UInt32: UnwindPublication?] = [:]
    let waiting = deferred
    deferred = []
    for sample in waiting { sample.withUnsafeBytes { complete($0, unwindTables, &earlier, ending) } }
    samples.consume { record in
      let size = MemoryLayout<lt_unwind_sample>.size + Int(LT_UNWIND_SAMPLE_STACK_BYTES)
      guard record.count >= size else { return }
      unwindTables.acknowledgeSample(slot: record.load(as: lt_unwind_sample.self).process_slot)
      complete(record, unwindTables, &earlier, ending)
    }
  }

  /// - Parameter earlier: by slot, what was published before the mappings of the process were read for these samples.
  private func complete(
    _ record: UnsafeRawBufferPointer, _ unwindTables: UnwindTables, _ earlier: inout [UInt32: UnwindPublication?],
    _ ending: TracedProcess?
  ) {
    let sample = record.baseAddress!.assumingMemoryBound(to: lt_unwind_sample.self)
    let slot = sample.pointee.process_slot
    guard sample.pointee.site != UInt32.max, let process = processes.process(slot: slot) else { return }
    if sample.pointee.generation == process.generation &+ 1 {
      // The sample is from the process's next program, whose exec event has not been handled yet.
      deferred.append([UInt8](record))
    }
    guard sample.pointee.generation == process.generation else { return }
    // Mappings are read once for all samples that came since the last time.
    if earlier[slot] == nil {
      earlier[slot] = .some(unwindTables.publication(slot: slot))
      // If the process has ended meanwhile, what was known before must do.
      if process.state == .running, process !== ending {
        try? spaces.read(process, askedFor: sample.pointee.lookup)
      }
    }
    let stack = unwindTables.complete(sample, earlier: earlier[slot] ?? nil)
    tables.completeSite(
      sample.pointee.site, pending: sample.pointee.pending,
      stack: StackStore.StoredStack(frames: stack.frames, outcome: stack.outcome),
      epoch: stack.isCurrent ? spaces.epoch(of: process) : nil)
    count(stack, instead: sample.pointee.walked.outcome)
  }

  /// Corrects the counts of broken stacks: the program has already counted the reason for which it stopped.
  private func count(_ stack: UnwindTables.CompletedStack, instead outcome: UInt32) {
    let reason = Int(outcome >> 8 & 0xff)
    guard reason < corrections.count else { return }
    corrections[reason] -= 1
    completedCount += 1
    if stack.outcome & 0xff == LT_OUTCOME_BROKEN.rawValue {
      corrections[Int(stack.outcome >> 8 & 0xff)] += 1
      completedCount -= 1
    } else if stack.outcome & 0xff == LT_OUTCOME_TRUNCATED.rawValue {
      corrections[Int(LT_UNWIND_TRUNCATED_STACK.rawValue)] += 1
    }
  }

  // MARK: For the report

  /// How the walks went so far.
  func summary(framePointerReason: String?) -> WalkSummary {
    let counts = tables.walkCounterValues()
    let reasons = Int(LT_UNWIND_NO_TABLES.rawValue)...Int(LT_UNWIND_TRUNCATED_STACK.rawValue)
    let broken = reasons.map { reason in
      let meaning = String(cString: ctrace_unwind_counter_meaning(Int32(reason)))
      let isCut = reason != Int(LT_UNWIND_DOUBTFUL_STACK.rawValue)
      return Report.LossCounter(
        name: "stacks_" + String(cString: ctrace_unwind_counter_name(Int32(reason))),
        description: isCut ? "call stacks cut short: \(meaning)" : meaning,
        value: UInt64(clamping: Int64(clamping: counts[reason]) + corrections[reason]))
    }
    let refusals = spaces.unwindTables?.refusals ?? []
    return WalkSummary(
      framePointerReason: framePointerReason, brokenStacks: broken,
      framePointerSteps: counts[Int(LT_UNWIND_FRAME_POINTER_STEP.rawValue)],
      unsupportedRules: counts[Int(LT_UNWIND_UNSUPPORTED_RULE.rawValue)],
      tooLargeFiles: refusals.filter { $0.reason == .tooLarge }.map(\.path).sorted(),
      unreadableFiles: refusals.filter { $0.reason != .tooLarge }.map(\.path).sorted(),
      unsupportedRows: spaces.unwindTables?.unsupportedRows ?? [:])
  }
}
