import CTraceABI

/// One allocation or free as it happened (`-t`).
package struct AllocationEvent: Sendable {
  package var isFree: Bool
  package var processID: Int32
  package var threadID: Int32
  /// CLOCK_MONOTONIC nanoseconds.
  package var time: UInt64
  package var address: UInt64
  package var sizeInBytes: UInt64
  /// The probed function.
  package var function: String
}
