/// Outstanding blocks as they come, 24 bytes each, before they are sorted. Cheaper than an array of `LeakBlock` where
/// there are millions.
package struct BlockCollector: ~Copyable {
  package private(set) var count = 0
  /// Full but for the last. Pieces, because a growing array would be copied and take twice the memory.
  private(set) var pieces: [PageMemory] = []
  private var next: UnsafeMutablePointer<BlockRecord>?
  private var room = 0

  static let recordsPerPiece = 1 << 16
  /// Block numbers must leave room for flags in 32 bits.
  package static let limit = 1 << 29

  package init() {}

  /// Adds a block. `tag` is handed back with the block's verdict: the index of its site, for example.
  package mutating func append(_ block: LeakBlock, tag: UInt32) {
    precondition(count < Self.limit, "more blocks than can be numbered")
    if room == 0 {
      let piece = PageMemory(of: BlockRecord.self, count: Self.recordsPerPiece)
      pieces.append(piece)
      next = piece.elements(of: BlockRecord.self)
      room = Self.recordsPerPiece
    }
    // Hostile sizes: a block ends at the end of the address space at the latest.
    let size = min(block.sizeInBytes, UInt64(Int64.max) - min(block.address, UInt64(Int64.max)))
    next.unsafelyUnwrapped.initialize(
      to: BlockRecord(address: block.address, size: size, tick: BlockRecord.tick(block.time), tag: tag))
    next = next.unsafelyUnwrapped + 1
    room -= 1
    count += 1
  }

  /// The records of one piece.
  static func records(_ pieces: [PageMemory], _ index: Int, of count: Int) -> UnsafeBufferPointer<BlockRecord> {
    UnsafeBufferPointer(
      start: pieces[index].elements(of: BlockRecord.self),
      count: min(recordsPerPiece, count - index * recordsPerPiece))
  }
}

/// A block on its way into the table.
struct BlockRecord: BitwiseCopyable {
  let address: UInt64
  private let sizeLow: UInt32
  private let sizeHigh: UInt32
  /// Time in units of 2^20 ns, about a millisecond, modulo 2^32: enough to tell two blocks at one address.
  let tick: UInt32
  let tag: UInt32

  init(address: UInt64, size: UInt64, tick: UInt32, tag: UInt32) {
    self.address = address
    sizeLow = UInt32(truncatingIfNeeded: size)
    sizeHigh = UInt32(truncatingIfNeeded: size >> 32)
    self.tick = tick
    self.tag = tag
  }

  var size: UInt64 { UInt64(sizeHigh) << 32 | UInt64(sizeLow) }

  static func tick(_ time: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: time >> 20) }
}
