/// How the memory that a gate takes in a process is divided up: a few pages of code, of which the first is an ELF header with
/// call-frame information, so that whoever walks a stack finds its way through; and behind them the gate's data. The
/// code is mapped from a file, so that it can be probed; the data is private to the process, so that a forked child goes on
/// with a copy of its own.
package struct GateLayout: Hashable, Sendable {
  /// Address of the first byte.
  package var start: UInt64
  /// Buckets of the table of chosen blocks, as a power of two.
  package var bucketBits: UInt8

  package init(start: UInt64, bucketBits: UInt8) {
    self.start = start
    self.bucketBits = bucketBits
  }

  package static let headerBytes: UInt64 = 0x1000
  /// With the header.
  package static let codeBytes: UInt64 = 0x5000
  package static let slotBits: UInt8 = 12
  package static let slotBytes: UInt64 = 64
  package static let gapCount: UInt64 = 1024
  package static let filterBytes: UInt64 = 1 << 16
  /// Places of the table that are searched for one block.
  package static let searchedPlaces: UInt64 = 32

  package var code: UInt64 { start &+ Self.headerBytes }
  package var data: UInt64 { start &+ Self.codeBytes }
  /// What the random numbers of each thread begin with.
  package var seed: UInt64 { data &+ 8 }
  package var smallest: UInt64 { data &+ 16 }
  package var largest: UInt64 { data &+ 24 }
  /// Quantiles of the distance from one sample to the next, in the unit in which calls are counted.
  package var gaps: UInt64 { data &+ 0x1000 }
  /// A byte for each value of a block's hash: how many chosen blocks have it; 255 stands for that many or more.
  package var filter: UInt64 { gaps &+ 8 * Self.gapCount }
  /// Of each thread: the distance to its next sample, and its random number.
  package var slots: UInt64 { filter &+ Self.filterBytes }
  /// The chosen blocks, as complements of their addresses, so that no search for pointers takes them for any.
  package var table: UInt64 { slots &+ Self.slotBytes << UInt64(Self.slotBits) }
  package var tableBytes: UInt64 { 64 << UInt64(bucketBits) + 8 * Self.searchedPlaces }
  package var end: UInt64 { (table &+ tableBytes &+ 0xfff) & ~0xfff }
  package var dataBytes: UInt64 { end &- data }
}
