/// Outstanding blocks as they come, 24 bytes each, before they are sorted. Cheaper than an array of `LeakBlock` where
/// there are millions.
///
/// Several threads can each fill their own.
package struct BlockCollector: ~Copyable, @unchecked Sendable {
  package private(set) var count = 0
  /// Blocks are kept in pieces, because an array that grows would be copied and take twice the memory meanwhile.
  private(set) var pieces: [Piece] = []
  /// Places for pieces to come, in memory made ready.
  private var reserve: [(memory: PageMemory, offset: Int)] = []
  private var next: UnsafeMutablePointer<BlockRecord>?
  private var room = 0
  /// Memory that is made ready now and needed after collecting.
  private(set) var ready: Ready?

  struct Piece {
    let records: UnsafeMutablePointer<BlockRecord>
    /// 0 while it is being filled.
    fileprivate(set) var count: Int
    fileprivate let memory: PageMemory
  }

  /// Memory for sorting the blocks.
  struct Ready {
    /// The memory of the pieces. The arrays of sorted blocks take less; they are written here once all pieces have been
    /// read.
    let pieces: PageMemory
    let records: PageMemory
  }

  private static let recordsPerPiece = 1 << 16
  private static let bytesPerPiece = recordsPerPiece * MemoryLayout<BlockRecord>.stride
  /// Block numbers must leave room for flags in 32 bits.
  package static let limit = 1 << 29

  package init() {}

  /// - Parameters:
  ///   - capacity: blocks for which memory is made ready now, so that it takes no time later. More are possible.
  ///   - threads: how many make it ready, and will share it if there are blocks enough.
  package init(capacity: Int, threads: Int = 1) {
    // Each thread's last piece is filled in part.
    let count = capacity / Self.recordsPerPiece + min(threads, capacity >> 14 + 1)
    let memory = PageMemory(byteCount: count * Self.bytesPerPiece, isDense: true)
    reserve = (0..<count).map { (memory, $0 * Self.bytesPerPiece) }
    let records = PageMemory(of: BlockRecord.self, count: capacity + capacity / 64, isDense: true)
    PageMemory.touch([memory, records], threads: threads)
    ready = Ready(pieces: memory, records: records)
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
    let (memory, offset) = reserve.popLast() ?? (PageMemory(byteCount: Self.bytesPerPiece), 0)
    let records = (memory.base + offset).assumingMemoryBound(to: BlockRecord.self)
    pieces.append(Piece(records: records, count: 0, memory: memory))
    next = records
    room = Self.recordsPerPiece
  }
}

/// A block as it is collected, before it is entered into the table.
struct BlockRecord: BitwiseCopyable {
  let address: UInt64
  private let sizeLow: UInt32
  private let sizeHigh: UInt32
  /// Time in units of 2^20 ns, about a millisecond, modulo 2^32: enough to tell two blocks at one address.
  let tick: UInt32
  let tag: UInt32

  init(_ block: LeakBlock, tag: UInt32) {
    address = block.address
    // A hostile program can ask for any size: no block reaches beyond the user's half of the addresses.
    let end = UInt64(Int64.max)
    let size = block.address < end ? min(block.sizeInBytes, end - block.address) : 0
    sizeLow = UInt32(truncatingIfNeeded: size)
    sizeHigh = UInt32(truncatingIfNeeded: size >> 32)
    tick = UInt32(truncatingIfNeeded: block.time >> 20)
    self.tag = tag
  }

  var size: UInt64 { UInt64(sizeHigh) << 32 | UInt64(sizeLow) }
}
