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

  /// An empty collector that has an equal share of the memory made ready for this one, as the first of so many.
  package mutating func shareReserve(with others: Int) -> BlockCollector {
    var other = BlockCollector()
    let share = reserve.count / (others + 1)
    other.reserve = Array(reserve.suffix(share))
    reserve.removeLast(share)
    return other
  }

  /// Adds a block. `tag` is handed back with the block's verdict: the index of its site, for example.
  package mutating func append(_ block: LeakBlock, tag: UInt32) {
    if room == 0 { startPiece() }
    next.unsafelyUnwrapped.initialize(to: BlockRecord(block, tag: tag))
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

  init(_ block: LeakBlock, tag: UInt32) {
    address = block.address
    // Hostile sizes: a block ends with the user's half of the addresses at the latest.
    let end = UInt64(Int64.max)
    let size = block.address < end ? min(block.sizeInBytes, end - block.address) : 0
    sizeLow = UInt32(truncatingIfNeeded: size)
    sizeHigh = UInt32(truncatingIfNeeded: size >> 32)
    tick = UInt32(truncatingIfNeeded: block.time >> 20)
    self.tag = tag
  }

  var size: UInt64 { UInt64(sizeHigh) << 32 | UInt64(sizeLow) }
}
