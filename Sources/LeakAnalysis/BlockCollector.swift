/// Outstanding blocks as they come, 24 bytes each, before they are sorted. Cheaper than an array of `LeakBlock` where
/// there are millions.
///
/// Several threads can each fill their own.
package struct BlockCollector: ~Copyable, @unchecked Sendable {
  package private(set) var count = 0
  /// Pieces, because a growing array would be copied and take twice the memory.
  private(set) var pieces: [Piece] = []
  /// Memory for pieces to come.
  private var reserve: [PageMemory] = []
  private var next: UnsafeMutablePointer<BlockRecord>?
  private var room = 0

  struct Piece {
    let memory: PageMemory
    /// 0 while it is being filled.
    fileprivate(set) var count: Int
    var records: UnsafeBufferPointer<BlockRecord> {
      UnsafeBufferPointer(start: memory.elements(of: BlockRecord.self), count: count)
    }
  }

  private static let recordsPerPiece = 1 << 16
  /// Block numbers must leave room for flags in 32 bits.
  package static let limit = 1 << 29

  /// - Parameter capacity: blocks for which memory is made ready now, so that it takes no time later. More are possible.
  package init(capacity: Int = 0) {
    for _ in 0..<(capacity + Self.recordsPerPiece - 1) / Self.recordsPerPiece {
      reserve.append(PageMemory(of: BlockRecord.self, count: Self.recordsPerPiece, isTouched: true))
    }
  }

  /// Adds a block. `tag` is handed back with the block's verdict: the index of its site, for example.
  package mutating func append(_ block: LeakBlock, tag: UInt32) {
    if room == 0 { startPiece() }
    // Hostile sizes: a block ends at the end of the address space at the latest.
    let size = min(block.sizeInBytes, UInt64(Int64.max) - min(block.address, UInt64(Int64.max)))
    next.unsafelyUnwrapped.initialize(
      to: BlockRecord(address: block.address, size: size, tick: BlockRecord.tick(block.time), tag: tag))
    next = next.unsafelyUnwrapped + 1
    room &-= 1
    count &+= 1
  }

  /// Adds the blocks of another collector.
  package mutating func append(_ other: consuming BlockCollector) {
    seal()
    other.seal()
    count += other.count
    pieces += other.pieces
  }

  /// Notes how full the last piece is, after which comes a new one.
  mutating func seal() {
    if !pieces.isEmpty, pieces[pieces.count - 1].count == 0 {
      pieces[pieces.count - 1].count = Self.recordsPerPiece - room
    }
    room = 0
  }

  @inline(never)
  private mutating func startPiece() {
    seal()
    precondition(count < Self.limit, "more blocks than can be numbered")
    let memory = reserve.popLast() ?? PageMemory(of: BlockRecord.self, count: Self.recordsPerPiece)
    pieces.append(Piece(memory: memory, count: 0))
    next = memory.elements(of: BlockRecord.self)
    room = Self.recordsPerPiece
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
