import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import TraceModel

extension AllocationTracer {
  /// Answers the stack walker's questions about code that it did not know.
  func answerUnwindRequests() {
    guard let unwindTables, let unwindRequests else { return }
    var asked: [UInt32: (process: TracedProcess, address: UInt64)] = [:]
    unwindRequests.consume { record in
      guard record.count >= MemoryLayout<lt_unwind_request>.size else { return }
      let request = record.loadUnaligned(as: lt_unwind_request.self)
      if let process = processOfSlot[request.process_slot], process.state == .running {
        asked[request.process_slot] = (process, request.address)
      }
    }
    for (process, address) in asked.values {
      // It may have ended meanwhile: its exit event follows.
      try? readMappings(of: process, askedFor: address)
    }
    let now = monotonicNanoseconds()
    if now - lastRearm > 1_000_000_000 {
      lastRearm = now
      unwindTables.rearmRequests()
    }
  }

  /// Completes the stacks that broke off before their code was known.
  func completeSamples() {
    guard let unwindTables, let unwindSamples else { return }
    var earlier: [UInt32: UnwindPublication?] = [:]
    unwindSamples.consume { record in
      let size = MemoryLayout<lt_unwind_sample>.size + Int(LT_UNWIND_SAMPLE_STACK_BYTES)
      guard record.count >= size, let base = record.baseAddress else { return }
      let sample = base.assumingMemoryBound(to: lt_unwind_sample.self)
      let slot = sample.pointee.process_slot
      unwindTables.acknowledgeSample(slot: slot)
      guard sample.pointee.site != UInt32.max, let process = processOfSlot[slot],
        process.generation == sample.pointee.generation
      else { return }
      // Once for all that came since the last time.
      if earlier[slot] == nil {
        earlier[slot] = .some(unwindTables.publication(slot: slot))
        // It may have ended meanwhile: then what was known before must do.
        if process.state == .running { try? readMappings(of: process, askedFor: sample.pointee.lookup) }
      }
      let stack = unwindTables.complete(sample, earlier: earlier[slot] ?? nil)
      tables.completeSite(
        sample.pointee.site, pending: sample.pointee.pending,
        stack: TraceTables.StoredStack(frames: stack.frames, outcome: stack.outcome),
        epoch: stack.isCurrent ? epochs[slot] : nil)
      count(stack, instead: sample.pointee.walked.outcome)
    }
  }

  /// Keeps the counts of broken stacks right: the program has counted the reason why it stopped.
  private func count(_ stack: UnwindTables.CompletedStack, instead outcome: UInt32) {
    let reason = Int(outcome >> 8 & 0xff)
    guard reason < walkCorrections.count else { return }
    walkCorrections[reason] -= 1
    completedStacks += 1
    if stack.outcome & 0xff == LT_OUTCOME_BROKEN.rawValue {
      walkCorrections[Int(stack.outcome >> 8 & 0xff)] += 1
      completedStacks -= 1
    } else if stack.outcome & 0xff == LT_OUTCOME_TRUNCATED.rawValue {
      walkCorrections[Int(LT_UNWIND_TRUNCATED_STACK.rawValue)] += 1
    }
  }

  /// How many stacks were cut short, by reason: those that could not be completed afterwards either.
  func brokenStackCounters() -> [Report.LossCounter] {
    let counts = tables.walkCounterValues()
    let reasons = Int(LT_UNWIND_NO_TABLES.rawValue)...Int(LT_UNWIND_TRUNCATED_STACK.rawValue)
    return reasons.map { reason in
      Report.LossCounter(
        name: "stacks_" + String(cString: ctrace_unwind_counter_name(Int32(reason))),
        description: "call stacks cut short: "
          + String(cString: ctrace_unwind_counter_meaning(Int32(reason))),
        value: UInt64(clamping: Int64(clamping: counts[reason]) + walkCorrections[reason]))
    }
  }
}
