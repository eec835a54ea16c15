import Glibc
import ProcessImage

/// Reads memory and searches it for words that can point to blocks. Each thread has its own.
///
/// A first loop picks the words that can be addresses of blocks at all, one or two instructions a word; a second one
/// finds out for these what holds them. Where they lead is the resolver's business, mostly later.
struct WindowScanner {
  let context: ScanContext
  let index: BlockIndex
  private let memory: any ScannableMemory
  /// Where words wait; nil when they are to be resolved at once.
  private let log: PointerLog?
  /// Whether words outside of blocks count, and whether blocks are seen for the first time.
  private let readsRoots: Bool
  private let notesHeads: Bool
  private let segments: UnsafeBufferPointer<RootMap.Segment>
  private let buffer: PageMemory
  private let hits: UnsafeMutablePointer<UInt32>
  private let hitMemory: PageMemory
  private var chunk: PointerChunk
  /// Words of roots, with their addresses, where who holds what is to be known; else these are in `chunk`, too.
  private var rootChunk: PointerChunk?
  var tables: VirtualTables

  var resolver: PointerResolver
  private(set) var scannedBytes: UInt64 = 0
  private(set) var unreadable = UnreadableMemory()
  var bases: [UInt64] = []

  /// Bytes of memory per round of the two loops: what they share stays in the first-level cache.
  private static let roundBytes = 1 << 15
  /// Readable bytes wanted behind a window: for words and heads that begin in it.
  private static let lookAhead = 16

  /// Reads for the first time, for a log.
  init(_ context: ScanContext, memory: any ScannableMemory, log: PointerLog) {
    self.init(
      context, memory, log: log, readsRoots: true, notesHeads: true, PointerResolver(context, round: .reading))
  }

  /// Reads again, when the heads of all blocks are known.
  init(
    again context: ScanContext, memory: any ScannableMemory, readsRoots: Bool, listsReached: Bool = false
  ) {
    self.init(
      context, memory, log: nil, readsRoots: readsRoots, notesHeads: false,
      PointerResolver(context, round: .again, listsReached: listsReached))
  }

  private init(
    _ context: ScanContext, _ memory: any ScannableMemory, log: PointerLog?, readsRoots: Bool, notesHeads: Bool,
    _ resolver: PointerResolver
  ) {
    self.context = context
    self.memory = memory
    self.log = log
    self.readsRoots = readsRoots
    self.notesHeads =
      notesHeads && (context.secondWordMatters || context.fourthWordMatters || context.basesMatter)
    self.resolver = resolver
    index = context.index
    segments = context.segments
    buffer = PageMemory(byteCount: context.options.windowBytes + Self.lookAhead)
    hitMemory = PageMemory(of: UInt32.self, count: Self.roundBytes + 8)
    hits = hitMemory.elements(of: UInt32.self)
    let notesHolders = context.forest != nil && !context.options.retainsSources
    chunk = log?.makeChunk() ?? PointerChunk(keepsAddresses: context.options.retainsSources || notesHolders)
    rootChunk = notesHolders && log != nil && readsRoots ? PointerChunk(keepsAddresses: true) : nil
    tables = VirtualTables(modules: context.modules, memory: memory)
  }

  /// Ends the work: nothing found so far waits here any longer. Returns runs to be added to the store of edges.
  mutating func finish() -> [EdgeStore.FurtherRun] {
    flush()
    return resolver.finish()
  }

  /// Resolves what waits.
  mutating func flush() {
    flushRoots()
    if let log, chunk.count > 0, log.keep(chunk) {
      chunk = log.makeChunk()
    } else {
      resolver.resolve(chunk)
    }
  }

  private mutating func flushRoots() {
    guard let log, let full = rootChunk, full.count > 0 else { return }
    if log.keep(full) {
      rootChunk = PointerChunk(keepsAddresses: true)
    } else {
      resolver.resolve(full)
    }
  }

  /// A word that is not in the buffer.
  func firstWord(at address: UInt64) -> UInt64? { memory.value(at: address, as: UInt64.self) }

  /// Reads a stretch of memory, aligned to words, and searches it.
  mutating func search(_ stretch: Range<UInt64>) {
    var address = stretch.lowerBound
    while address < stretch.upperBound {
      let wanted = min(Int(stretch.upperBound - address), context.options.windowBytes)
      let target = UnsafeMutableRawBufferPointer(start: buffer.base, count: wanted + Self.lookAhead)
      let readable = memory.read(at: address, into: target)
      if readable > 0 {
        // The buffer still holds the end of the last window, which would pass for the bytes behind this one.
        memset(buffer.base + readable, 0, target.count - readable)
        search(at: address, count: min(wanted, readable & ~7), readable: readable)
      }
      if readable >= wanted {
        address += UInt64(wanted)
      } else {
        let bad = address + UInt64(readable)
        address = min((bad | (UnreadableMemory.pageSize - 1)) + 1, stretch.upperBound)
        unreadable.add(bad..<address)
      }
    }
  }

  /// Searches bytes in the buffer.
  private mutating func search(at base: UInt64, count: Int, readable: Int) {
    let firstBlock = index.firstStart(from: base)
    if notesHeads {
      noteHeads(MemoryPiece(base: base, bytes: buffer.base, count: count, readable: readable), firstBlock: firstBlock)
    }
    var cursor = Cursor(
      nextBlock: firstBlock, segment: readsRoots ? context.roots.firstSegment(endingAfter: base) : segments.count)
    var position = 0
    while position < count {
      let end = min(count, position + Self.roundBytes)
      let found =
        context.options.alignment == 1
        ? pickUnaligned(from: position, to: min(end, readable - 7)) : pickAligned(from: position, to: end)
      note(found, base: base, &cursor)
      position = end
    }
    scannedBytes &+= UInt64(count)
  }

  /// Puts the positions of words that can point to blocks into `hits`.
  private func pickAligned(from start: Int, to end: Int) -> Int {
    let filter = index.filter
    let rough = RoughFilter(filter)
    let words = buffer.base.assumingMemoryBound(to: UInt64.self)
    // There are no branches, because whether a group has a hit is as good as random and would be mispredicted.
    let groups = hits + Self.roundBytes / 2
    var groupCount = 0
    var word = start / 8
    let last = end / 8
    while word &+ 8 <= last {
      groups[groupCount] = UInt32(truncatingIfNeeded: word)
      groupCount &+= rough.mayContainAny(ofEightAt: words + word) ? 1 : 0
      word &+= 8
    }
    var found = 0
    for group in 0..<groupCount {
      let first = Int(groups[group])
      for place in first..<first &+ 8 {
        hits[found] = UInt32(truncatingIfNeeded: place &* 8)
        found &+= filter.mayContain(words[place]) ? 1 : 0
      }
    }
    while word < last {
      hits[found] = UInt32(truncatingIfNeeded: word &* 8)
      found &+= filter.mayContain(words[word]) ? 1 : 0
      word &+= 1
    }
    return found
  }

  private func pickUnaligned(from start: Int, to end: Int) -> Int {
    let filter = index.filter
    var found = 0
    for position in start..<max(start, end) {
      hits[found] = UInt32(truncatingIfNeeded: position)
      let word = (buffer.base + position).loadUnaligned(as: UInt64.self)
      found &+= filter.mayContain(word) ? 1 : 0
    }
    return found
  }

  /// Where in the blocks and roots a search is.
  private struct Cursor {
    /// The first block that starts behind the word.
    var nextBlock: Int
    /// The first segment that ends behind the word.
    var segment: Int
  }

  /// Finds out what holds the words picked, and notes those that something holds.
  private mutating func note(_ found: Int, base: UInt64, _ cursor: inout Cursor) {
    var first = 0
    while first < found {
      let end = min(found, first + PointerResolver.batch)
      findHolders(first..<end, base: base, &cursor)
      first = end
      if chunk.count >= PointerChunk.limit { flush() }
      if let rootChunk, rootChunk.count >= PointerChunk.limit { flushRoots() }
    }
  }

  @inline(__always)
  private func findHolders(_ picked: Range<Int>, base: UInt64, _ cursor: inout Cursor) {
    var count = chunk.count
    for number in picked {
      let position = Int(hits[number])
      let address = base &+ UInt64(position)
      while index.starts[cursor.nextBlock] <= address { cursor.nextBlock &+= 1 }
      // A word counts only if all of it belongs to the holder.
      guard address &+ 8 <= index.starts[cursor.nextBlock] else { continue }
      var holder = cursor.nextBlock &- 1
      if holder >= 0 && address >= index.end(holder) {
        holder = index.nested.isEmpty ? -1 : index.enclosing(holder, address)
      }
      if holder >= 0 {
        guard address &+ 8 <= index.end(holder) else { continue }
      } else {
        while cursor.segment < segments.count && segments[cursor.segment].end <= address { cursor.segment &+= 1 }
        guard cursor.segment < segments.count, segments[cursor.segment].start <= address,
          address &+ 8 <= segments[cursor.segment].end
        else { continue }
        holder = -1 &- cursor.segment
        if let rootChunk {
          rootChunk.append((buffer.base + position).loadUnaligned(as: UInt64.self), holder: holder, at: address)
          continue
        }
      }
      chunk.values[count] = (buffer.base + position).loadUnaligned(as: UInt64.self)
      chunk.holders[count] = Int32(truncatingIfNeeded: holder)
      if let addresses = chunk.addresses { addresses[count] = address }
      count &+= 1
    }
    chunk.count = count
  }
}

/// Notes memory that should have been read and could not.
struct UnreadableMemory {
  private(set) var bytes: UInt64 = 0
  private(set) var ranges: [Range<UInt64>] = []

  static let pageSize: UInt64 = 4096

  mutating func add(_ range: Range<UInt64>) {
    bytes &+= UInt64(range.count)
    if let last = ranges.last, last.upperBound == range.lowerBound {
      ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
    } else if ranges.count < ReadOutcome.unreadableLimit {
      ranges.append(range)
    }
  }

  mutating func add(_ other: UnreadableMemory) {
    bytes &+= other.bytes
    var all: [Range<UInt64>] = []
    for range in (ranges + other.ranges).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = all.last, last.upperBound == range.lowerBound {
        all[all.count - 1] = last.lowerBound..<range.upperBound
      } else {
        all.append(range)
      }
    }
    ranges = Array(all.prefix(ReadOutcome.unreadableLimit))
  }
}
