/// A piece of memory that was read.
struct MemoryPiece {
  let base: UInt64
  let bytes: UnsafeMutableRawPointer
  let count: Int
  /// The bytes that were read, some behind the end of the piece included.
  let readable: Int

  /// The first address behind the piece.
  var end: UInt64 { base &+ UInt64(count) }
}

/// What memcheck's heuristics look at, noted for each block while it passes by: an interior pointer may come before or after
/// the block that it leads to.
extension WindowScanner {
  /// Notes what is to be known of blocks that lie, as a whole or with a part, in a piece of memory.
  mutating func noteHeads(_ piece: MemoryPiece, firstBlock: Int) {
    if context.basesMatter && firstBlock > 0 { noteBasesOfEarlierBlocks(piece, firstBlock: firstBlock) }
    var block = firstBlock
    while index.starts[block] < piece.end {
      noteHead(block, piece)
      block &+= 1
    }
  }

  @inline(__always)
  private mutating func noteHead(_ block: Int, _ piece: MemoryPiece) {
    let start = index.starts[block]
    let size = index.size(block)
    guard start & 7 == 0, size >= 8 else { return }
    let position = Int(start &- piece.base)
    guard position &+ 8 <= piece.readable else { return }
    let words = (piece.bytes + position).assumingMemoryBound(to: UInt64.self)
    let first = words[0]
    if size == 8 {
      // The number of an array's elements, and there are none: the array begins behind the block.
      if first == 0 && context.options.heuristics.contains(.newArray) { context.states.add(.secondWord, to: block) }
      return
    }
    let rest = size &- 8
    if first &- 1 < rest && context.secondWordMatters {
      let heuristics = context.options.heuristics
      if heuristics.contains(.length64) && first == rest || heuristics.contains(.newArray) && rest % first == 0 {
        context.states.add(.secondWord, to: block)
      }
    }
    // Length, capacity, count, characters, and the zero behind them.
    if size > 24 && context.fourthWordMatters && position &+ 16 <= piece.readable && words[1] == size &- 25
      && first <= words[1]
    {
      context.states.add(.fourthWord, to: block)
    }
    if context.basesMatter && tables.mayBeTable(first) && tables.isTable(first) {
      noteBases(of: block, from: start &+ 8, piece)
    }
  }

  /// Blocks that began before the piece and reach into it.
  private mutating func noteBasesOfEarlierBlocks(_ piece: MemoryPiece, firstBlock: Int) {
    var block = firstBlock - 1
    if index.end(block) <= piece.base { block = index.nested.isEmpty ? -1 : index.enclosing(block, piece.base) }
    while block >= 0 {
      let start = index.starts[block]
      if start & 7 == 0, let first = firstWord(at: start), tables.mayBeTable(first), tables.isTable(first) {
        noteBases(of: block, from: piece.base, piece)
      }
      block = index.parent(block)
    }
  }

  /// Notes words of the block, in the piece, that point to tables of virtual functions.
  private mutating func noteBases(of block: Int, from start: UInt64, _ piece: MemoryPiece) {
    let end = min(index.end(block), piece.end)
    var address = start
    while address &+ 8 <= end {
      let word = (piece.bytes + Int(address &- piece.base)).load(as: UInt64.self)
      if tables.mayBeTable(word) && tables.isTable(word) {
        let number = (address &- index.starts[block]) >> 3
        if bases.count < Self.basesLimit && number < 1 << 31 {
          bases.append(UInt64(block) << 32 | number)
          context.states.add(.bases, to: block)
        } else {
          context.states.add(.manyBases, to: block)
          return
        }
      }
      address &+= 8
    }
  }

  private static let basesLimit = 1 << 18
}
