import CTraceABI
import CUnwindOracle

/// Compares stacks that the walker finds with those that libdwfl finds in copies of the same stacks, while the programs run.
package final class StackComparison {
  private let harness: UnwindHarness
  private var authorities: [Int32: (pointer: OpaquePointer, addressSpace: UInt32)] = [:]

  /// Stacks that are the same from the leaf to the outermost frame, or to the walker's limit.
  package private(set) var equal = 0
  /// What libdwfl found in the copy, which was too short for the whole stack, is the same.
  package private(set) var equalAsFarAsKnown = 0
  /// The walker stopped early, and said so; what it found is the same.
  package private(set) var cut = 0
  /// Stacks that are not the same.
  package private(set) var differences: [String] = []
  /// Samples of processes that were gone, or had other mappings, before libdwfl could look at them.
  package private(set) var missed = 0

  package var compared: Int { equal + equalAsFarAsKnown + cut + differences.count }

  package init(harness: UnwindHarness) { self.harness = harness }

  deinit { for authority in authorities.values { oracle_detach(authority.pointer) } }

  /// Compares one sample.
  ///
  /// - Parameter processID: whose mappings to use instead of the sample's own process's: one that shares its memory.
  package func compare(_ sample: borrowing ProbeSample, as processID: Int32? = nil) {
    guard let authority = processID.flatMap({ self.authority(for: $0, addressSpace: 0) }) ?? authority(for: sample)
    else {
      missed += 1
      return
    }
    var expected = [UInt64](repeating: 0, count: 1000)
    var isComplete = false
    let count = Int(oracle_unwind(authority, sample.pointer, &expected, 1000, &isComplete))
    expected.removeSubrange(count...)
    let frames = sample.frames
    let outcome = sample.outcome & 0xff
    let common = min(frames.count, expected.count)
    let first = (0..<common).first { frames[$0] != expected[$0] }
    switch outcome {
    case _ where first != nil: fail(sample, frames, expected, first)
    case LT_OUTCOME_BROKEN.rawValue: cut += 1
    case LT_OUTCOME_TRUNCATED.rawValue where frames.count == Int(LT_MAX_STACK_DEPTH):
      if expected.count > frames.count { equal += 1 } else { equalAsFarAsKnown += 1 }
    case LT_OUTCOME_COMPLETE.rawValue where frames.count == expected.count: equal += 1
    case LT_OUTCOME_COMPLETE.rawValue where frames.count > expected.count && !isComplete: equalAsFarAsKnown += 1
    default: fail(sample, frames, expected, first)
    }
  }

  private func fail(_ sample: borrowing ProbeSample, _ frames: [UInt64], _ expected: [UInt64], _ first: Int?) {
    func hex(_ value: UInt64?) -> String { value.map { "0x" + String($0, radix: 16) } ?? "none" }
    let index = first ?? min(frames.count, expected.count)
    differences.append(
      "outcome 0x\(String(sample.outcome, radix: 16)), frames \(frames.count) and \(expected.count), "
        + "number \(index) is \(hex(frames.dropFirst(index).first)), not \(hex(expected.dropFirst(index).first)), after "
        + hex(index > 0 ? frames[index - 1] : nil))
  }

  /// nil if the mappings that libdwfl would see are not those of the sample.
  private func authority(for sample: borrowing ProbeSample) -> OpaquePointer? {
    guard sample.addressSpace != 0,
      let found = authority(for: sample.processID, addressSpace: sample.addressSpace),
      (try? harness.addressSpace(slot: sample.slot)) == sample.addressSpace
    else { return nil }
    return found
  }

  private func authority(for processID: Int32, addressSpace: UInt32) -> OpaquePointer? {
    if let known = authorities[processID] {
      if known.addressSpace == addressSpace { return known.pointer }
      oracle_detach(known.pointer)
      authorities[processID] = nil
    }
    var authority: OpaquePointer?
    guard oracle_attach(processID, &authority) == 0, let authority else { return nil }
    authorities[processID] = (authority, addressSpace)
    return authority
  }
}
