import Accounting
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
    unwindTables.rearmRequests()
  }

  /// Completes the stacks that broke off before their code was known.
  ///
  /// - Parameter ending: a process whose image has just ended. Its last samples came before that event, and what was
  ///   published for it is all that will ever be known of them: its mappings are not read again.
  func completeSamples(lastOf ending: TracedProcess? = nil) {
    guard let unwindTables, let unwindSamples else { return }
    var earlier: [UInt32: UnwindPublication?] = [:]
    func complete(_ record: UnsafeRawBufferPointer) {
      let sample = record.baseAddress!.assumingMemoryBound(to: lt_unwind_sample.self)
      let slot = sample.pointee.process_slot
      guard sample.pointee.site != UInt32.max, let process = processOfSlot[slot] else { return }
      if sample.pointee.generation == process.generation &+ 1 {
        // Of a program that we have not heard yet to be executed.
        deferredSamples.append([UInt8](record))
      }
      guard sample.pointee.generation == process.generation else { return }
      // Once for all that came since the last time.
      if earlier[slot] == nil {
        earlier[slot] = .some(unwindTables.publication(slot: slot))
        // It may have ended meanwhile: then what was known before must do.
        if process.state == .running, process !== ending {
          try? readMappings(of: process, askedFor: sample.pointee.lookup)
        }
      }
      let stack = unwindTables.complete(sample, earlier: earlier[slot] ?? nil)
      tables.completeSite(
        sample.pointee.site, pending: sample.pointee.pending,
        stack: StackStore.StoredStack(frames: stack.frames, outcome: stack.outcome),
        epoch: stack.isCurrent ? epochs[slot] : nil)
      count(stack, instead: sample.pointee.walked.outcome)
    }
    let waiting = deferredSamples
    deferredSamples = []
    for sample in waiting { sample.withUnsafeBytes(complete) }
    unwindSamples.consume { record in
      let size = MemoryLayout<lt_unwind_sample>.size + Int(LT_UNWIND_SAMPLE_STACK_BYTES)
      guard record.count >= size else { return }
      unwindTables.acknowledgeSample(slot: record.load(as: lt_unwind_sample.self).process_slot)
      complete(record)
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
      let meaning = String(cString: ctrace_unwind_counter_meaning(Int32(reason)))
      let isCut = reason != Int(LT_UNWIND_DOUBTFUL_STACK.rawValue)
      return Report.LossCounter(
        name: "stacks_" + String(cString: ctrace_unwind_counter_name(Int32(reason))),
        description: isCut ? "call stacks cut short: \(meaning)" : meaning,
        value: UInt64(clamping: Int64(clamping: counts[reason]) + walkCorrections[reason]))
    }
  }

  /// What is to be known of the stacks of a report: where they were not walked by call-frame information.
  func stackNotes(_ request: ReportRequest) -> [String] {
    if let reason = programs.framePointerReason {
      return ["stacks follow frame pointers only, \(reason); callers that keep none are missing"]
    }
    guard let unwindTables else { return [] }
    let counts = tables.walkCounterValues()
    var notes: [String] = []
    let steps = counts[Int(LT_UNWIND_FRAME_POINTER_STEP.rawValue)]
    if steps > 0 {
      notes.append(
        "\(steps) times a stack crossed code without call-frame information by its frame pointer; "
          + "callers behind it may be missing or wrong")
    }
    let tooLarge = unwindTables.refusals.filter { $0.reason == .tooLarge }.map(\.path)
    if !tooLarge.isEmpty {
      notes.append(
        "stacks end in files whose call-frame information needs more memory than there is for it: "
          + Self.list(tooLarge))
    }
    let unreadable = unwindTables.refusals.filter { $0.reason != .tooLarge }.map(\.path)
    if !unreadable.isEmpty {
      notes.append("call-frame information could not be read: " + Self.list(unreadable))
    }
    let unsupported = unwindTables.unsupportedRows
    if request.explainsStacks || counts[Int(LT_UNWIND_UNSUPPORTED_RULE.rawValue)] > 0, !unsupported.isEmpty {
      let files = unsupported.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      notes.append(
        "call-frame information that stacks cannot be walked by: "
          + Self.list(files.map { "\($0.key) (\($0.value) rows)" }, isSorted: true))
    }
    return notes
  }

  private static func list(_ names: [String], isSorted: Bool = false) -> String {
    let most = 10
    let shown = (isSorted ? names : names.sorted()).prefix(most)
    return shown.joined(separator: ", ") + (names.count > most ? " and \(names.count - most) more" : "")
  }
}
