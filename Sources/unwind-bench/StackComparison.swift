import CTraceABI
import CUnwindOracle
import UnwindHarness

/// Compares stacks of the walker with those of libdwfl, while the programs run.
final class StackComparison {
  private let harness: UnwindHarness
  private var authorities: [Int32: (pointer: OpaquePointer, refreshCount: Int)] = [:]
  private var equal = 0
  /// The copy of the stack was too short for the authority; what it found is the same.
  private var equalAsFarAsKnown = 0
  private var broken = 0
  private var differences: [String] = []

  init(harness: UnwindHarness) { self.harness = harness }

  deinit { for authority in authorities.values { oracle_detach(authority.pointer) } }

  func compare(_ sample: borrowing ProbeSample) {
    guard let authority = authority(for: sample.processID) else { return }
    var expected = [UInt64](repeating: 0, count: 1000)
    var isComplete = false
    let count = Int(oracle_unwind(authority, sample.pointer, &expected, 1000, &isComplete))
    expected.removeSubrange(count...)
    let frames = sample.frames
    let common = min(frames.count, expected.count, Int(LT_MAX_STACK_DEPTH))
    let outcome = sample.outcome & 0xff
    if frames == expected
      || (outcome == LT_OUTCOME_TRUNCATED.rawValue
        && frames[...] == expected.prefix(frames.count))
    {
      equal += 1
    } else if frames.prefix(common) == expected.prefix(common),
      outcome != LT_OUTCOME_BROKEN.rawValue, count < frames.count
    {
      equalAsFarAsKnown += 1
    } else if frames.prefix(common) == expected.prefix(common),
      outcome == LT_OUTCOME_BROKEN.rawValue
    {
      broken += 1
    } else {
      let first = zip(frames, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      differences.append(
        "outcome \(String(sample.outcome, radix: 16)), frames \(frames.count) and \(count), first difference \(first ?? common)"
      )
    }
  }

  var summary: String {
    "equal \(equal), equal as far as the copy goes \(equalAsFarAsKnown), cut \(broken), different \(differences.count)"
      + differences.prefix(10).map { "\n    " + $0 }.joined()
  }

  private func authority(for processID: Int32) -> OpaquePointer? {
    if let known = authorities[processID] {
      if known.refreshCount == harness.refreshCount { return known.pointer }
      oracle_detach(known.pointer)
      authorities[processID] = nil
    }
    var authority: OpaquePointer?
    guard oracle_attach(processID, &authority) == 0, let authority else { return nil }
    authorities[processID] = (authority, harness.refreshCount)
    return authority
  }
}
