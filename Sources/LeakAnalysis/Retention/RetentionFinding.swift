import Allocators
import Quantities

/// Says what follows when a heap grew and what is outstanding did not.
package enum RetentionFinding {
  package typealias Allocator = Allocators.Allocator

  /// The memory of a heap now, and how it changed.
  package struct Numbers: Hashable, Sendable {
    package var residentBytes: UInt64
    package var residentGrowth: Int64
    package var outstandingGrowth: Int64
    package var outstandingCount: UInt64
    /// Resident bytes on pages that hold outstanding blocks; nil where blocks from before the trace may lie on them, too.
    package var pinnedBytes: UInt64?
    /// The most that was outstanding at any time of the trace; nil where it is not known.
    package var greatestOutstanding: UInt64?
    /// Whose ways to give memory back are named.
    package var allocator: Allocator

    package init(
      residentBytes: UInt64, residentGrowth: Int64, outstandingGrowth: Int64, outstandingCount: UInt64,
      pinnedBytes: UInt64?, allocator: Allocator
    ) {
      self.residentBytes = residentBytes
      self.residentGrowth = residentGrowth
      self.outstandingGrowth = outstandingGrowth
      self.outstandingCount = outstandingCount
      self.pinnedBytes = pinnedBytes
      self.allocator = allocator
    }

    /// Whether blocks of the trace account for the growth: all are traced, or so much of it was outstanding once. Otherwise it
    /// may be memory from before.
    var isExplained: Bool {
      if pinnedBytes != nil { return true }
      guard let greatestOutstanding else { return false }
      return greatestOutstanding >= UInt64(clamping: residentGrowth - residentGrowth / 4)
    }
  }

  /// Smaller growth is not worth a sentence.
  private static let leastBytes: Int64 = 8 << 20
  /// What an allocator needs for itself beside each block: a header and rounding up, at most about this.
  private static let overheadPerBlock: Int64 = 32

  /// Whether the heap grew by much more than what is outstanding and what managing that takes.
  package static func isSignificant(_ numbers: Numbers) -> Bool {
    let outstanding = max(0, numbers.outstandingGrowth)
    let (overhead, overflow) = overheadPerBlock.multipliedReportingOverflow(
      by: Int64(clamping: numbers.outstandingCount))
    guard !overflow else { return false }
    let (explained, tooMuch) = outstanding.addingReportingOverflow(outstanding / 4)
    guard !tooMuch else { return false }
    let unexplained = numbers.residentGrowth.subtractingReportingOverflow(explained).partialValue
      .subtractingReportingOverflow(overhead).partialValue
    return unexplained >= leastBytes && numbers.residentGrowth / 2 >= outstanding
  }

  /// What a report says; nil where there is nothing to say.
  package static func sentence(_ numbers: Numbers) -> String? {
    guard isSignificant(numbers) else { return nil }
    var text =
      "RSS of the heap grew by \(ByteSize.mebibytes(numbers.residentGrowth.magnitude)) while outstanding memory "
      + (numbers.outstandingGrowth < 0 ? "shrank" : "grew")
      + " by \(ByteSize.mebibytes(numbers.outstandingGrowth.magnitude)): "
      + "fragmentation or retention by the allocator, "
      + (numbers.isExplained ? "not a leak" : "or memory from before the trace that is first written now")
    if let pinned = numbers.pinnedBytes, numbers.residentBytes > 0 {
      let part = min(1, Double(pinned) / Double(numbers.residentBytes))
      text += "; outstanding blocks lie on \(Int((part * 100).rounded())) % of its pages"
      text += part >= 0.5 ? ": fragmentation" : ", the others are free and kept"
      // Pages with a block on them cannot be given back.
      if part >= 0.5 { return text }
    }
    if let advice = numbers.allocator.advice { text += "; " + advice }
    return text
  }
}
