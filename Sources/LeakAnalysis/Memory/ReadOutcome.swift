/// What one call of `PointerScan.read` did.
package struct ReadOutcome: Hashable, Sendable {
  /// Whether all memory was searched; otherwise the deadline came first, and `read` can be called again to go on.
  package var isComplete: Bool
  /// Bytes of roots and blocks searched so far, in all calls together.
  package var scannedBytes: UInt64
  /// Bytes of address space not yet looked at, whether or not anything is in them.
  package var remainingBytes: UInt64
  /// Bytes that should have been searched but could not be read, so far.
  package var unreadableBytes: UInt64
  /// The lowest of the ranges that could not be read, at most `unreadableLimit` of them.
  package var unreadable: [Range<UInt64>]
  /// Whether there were more pointers than there was memory for, so that blocks had to be read more than once.
  package var readBlocksAgain: Bool

  package static let unreadableLimit = 64
}
