/// One outstanding block, as the search for pointers sees it.
package struct LeakBlock: Hashable, Sendable {
  package var address: UInt64
  /// The size the program asked for; 0 is allowed, and such a block is found by a pointer to its address.
  package var sizeInBytes: UInt64
  /// CLOCK_MONOTONIC nanoseconds of the allocation: tells it from a later block at the same address.
  package var time: UInt64

  package init(address: UInt64, sizeInBytes: UInt64, time: UInt64 = 0) {
    self.address = address
    self.sizeInBytes = sizeInBytes
    self.time = time
  }
}
