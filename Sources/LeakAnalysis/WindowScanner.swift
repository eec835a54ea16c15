import ProcessImage

/// Searches windows of memory for pointers to blocks. Each thread has its own.
///
/// A first loop picks the words that can be addresses of blocks at all, one or two instructions a word; a second one
/// finds out for these what holds them and where they lead.
struct WindowScanner {
  let context: ScanContext
  let index: BlockIndex
  private let states: BlockStates
  private let memory: any ScannableMemory
  /// Whether blocks are read a second time: then what heuristics look at is known.
  private let isAgain: Bool
  /// Whether words outside of blocks count.
  private let readsRoots: Bool
  private let buffer: PageMemory
  private let hits: UnsafeMutablePointer<UInt32>
  private let hitMemory: PageMemory
  private var writer: EdgeWriter
  var tables: VirtualTables

  private(set) var scannedBytes: UInt64 = 0
  private(set) var unreadable = UnreadableMemory()
  /// Pointers from roots that wait until all heads of blocks have been seen.
  private(set) var pending: [RootPointer] = []
  /// Whether more of these came than are kept.
  private(set) var missedRoots = false
  /// Pointers from roots that told something new, if sources are kept.
  private(set) var sources: [RootPointer] = []
  var bases: [UInt64] = []
  /// Blocks found to be reached, if wanted.
  private(set) var newlyReached: [UInt32]?

  /// Bytes of memory per round of the two loops: what they share stays in the first-level cache.
  private static let roundBytes = 1 << 15
  private static let pendingLimit = 1 << 14
  /// Readable bytes wanted behind a window: for words and heads that begin in it.
  private static let lookAhead = 16

  init(_ context: ScanContext, memory: any ScannableMemory, isAgain: Bool, readsRoots: Bool, listsReached: Bool = false)
  {
    self.context = context
    self.memory = memory
    self.isAgain = isAgain
    self.readsRoots = readsRoots
    index = context.index
    states = context.states
    buffer = PageMemory(byteCount: context.options.windowBytes + Self.lookAhead)
    hitMemory = PageMemory(of: UInt32.self, count: Self.roundBytes + 8)
    hits = hitMemory.elements(of: UInt32.self)
    writer = EdgeWriter(context.edges)
    tables = VirtualTables(modules: context.modules, memory: memory)
    newlyReached = listsReached ? [] : nil
  }

  /// Ends the writing of edges; returns runs to be added to the store.
  mutating func finish() -> [EdgeStore.FurtherRun] {
    writer.endRun()
    return writer.furtherRuns
  }

  /// A word that is not in the buffer.
  func firstWord(at address: UInt64) -> UInt64? { memory.value(at: address, as: UInt64.self) }

  /// The blocks reached since the last call.
  mutating func takeNewlyReached() -> [UInt32] {
    defer { newlyReached = [] }
    return newlyReached ?? []
  }

  /// Reads a window, at most `ScanOptions.windowBytes` long and aligned to words, and searches it.
  mutating func search(_ window: Range<UInt64>) {
    var address = window.lowerBound
    while address < window.upperBound {
      let wanted = Int(window.upperBound - address)
      let target = UnsafeMutableRawBufferPointer(start: buffer.base, count: wanted + Self.lookAhead)
      let available = memory.read(at: address, into: target)
      if available > 0 {
        // What is left of the window before would pass for the bytes behind the last.
        let rest = UnsafeMutableRawBufferPointer(rebasing: target[available...])
        rest.initializeMemory(as: UInt8.self, repeating: 0)
        search(at: address, count: min(wanted, available & ~7), readable: available)
      }
      if available >= wanted { break }
      let bad = address + UInt64(available)
      let next = min((bad | (UnreadableMemory.pageSize - 1)) + 1, window.upperBound)
      unreadable.add(bad..<next)
      address = next
    }
  }

  /// Searches bytes in the buffer.
  private mutating func search(at base: UInt64, count: Int, readable: Int) {
    let firstBlock = index.firstStart(from: base)
    if !isAgain && (context.secondWordMatters || context.fourthWordMatters || context.basesMatter) {
      noteHeads(MemoryPiece(base: base, bytes: buffer.base, count: count, readable: readable), firstBlock: firstBlock)
    }
    var cursor = Cursor(
      nextBlock: firstBlock, segment: readsRoots ? context.roots.firstSegment(endingAfter: base) : .max)
    var position = 0
    while position < count {
      let end = min(count, position + Self.roundBytes)
      let found =
        context.options.alignment == 1
        ? pickUnaligned(from: position, to: min(end, readable - 7)) : pickAligned(from: position, to: end)
      if found > 0 { follow(found, base: base, &cursor) }
      position = end
    }
    scannedBytes &+= UInt64(count)
  }

  /// Puts the positions of words that can point to blocks into `hits`.
  private func pickAligned(from start: Int, to end: Int) -> Int {
    let filter = index.filter
    let words = buffer.base.assumingMemoryBound(to: UInt64.self)
    var found = 0
    var word = start / 8
    let last = end / 8
    while word &+ 8 <= last {
      let group = words + word
      let any =
        filter.mayContain(group[0]) || filter.mayContain(group[1]) || filter.mayContain(group[2])
        || filter.mayContain(group[3]) || filter.mayContain(group[4]) || filter.mayContain(group[5])
        || filter.mayContain(group[6]) || filter.mayContain(group[7])
      if any {
        for place in 0..<8 {
          hits[found] = UInt32(truncatingIfNeeded: (word &+ place) &* 8)
          found &+= filter.mayContain(group[place]) ? 1 : 0
        }
      }
      word &+= 8
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

  /// Follows the pointers picked.
  private mutating func follow(_ found: Int, base: UInt64, _ cursor: inout Cursor) {
    for number in 0..<found {
      let position = Int(hits[number])
      let address = base &+ UInt64(position)
      while index.starts[cursor.nextBlock] <= address { cursor.nextBlock &+= 1 }
      // No word of which a part belongs to something else.
      guard address &+ 8 <= index.starts[cursor.nextBlock] else { continue }
      var holder = cursor.nextBlock &- 1
      if holder >= 0 && address >= index.end(holder) {
        holder = index.nested.isEmpty ? -1 : index.enclosing(holder, address)
      }
      let pointer = (buffer.base + position).loadUnaligned(as: UInt64.self)
      if holder >= 0 {
        guard address &+ 8 <= index.end(holder) else { continue }
        let target = index.find(pointer)
        if target >= 0 && target != holder { foundInBlock(holder, target, pointer, address) }
      } else {
        guard let segment = segment(of: address, &cursor) else { continue }
        let target = index.find(pointer)
        guard target >= 0 else { continue }
        foundInRoot(
          RootPointer(
            block: UInt32(truncatingIfNeeded: target), offset: context.offset(of: pointer, in: target),
            holder: segment.holder, isValue: false, root: segment.root, address: address, pointer: pointer))
      }
    }
  }

  /// The root that a whole word belongs to.
  @inline(__always)
  private func segment(of address: UInt64, _ cursor: inout Cursor) -> RootMap.Segment? {
    context.roots.segments.withUnsafeBufferPointer { segments in
      while cursor.segment < segments.count, segments[cursor.segment].end <= address { cursor.segment &+= 1 }
      guard cursor.segment < segments.count else { return nil }
      let segment = segments[cursor.segment]
      return segment.start <= address && address &+ 8 <= segment.end ? segment : nil
    }
  }

  @inline(__always)
  private mutating func foundInBlock(_ holder: Int, _ target: Int, _ pointer: UInt64, _ address: UInt64) {
    // Nothing is better than a block that is reached.
    if states[target].contains(.reached) { return }
    let state = states[holder]
    if isAgain && !state.contains(.rereading) || state.contains(.unread) { return }
    var offset = context.offset(of: pointer, in: target)
    if isAgain && !offset.isPlain {
      offset = context.isStart(offset, of: target) ? .start : .interior
    }
    if !context.options.acceptsInteriorPointers && offset == .interior { return }
    if state.contains(.reached) && offset.isPlain {
      if states.add(offset.isStart ? .reached : .possible, to: target), offset.isStart {
        newlyReached?.append(UInt32(truncatingIfNeeded: target))
      }
      if !context.options.retainsSources { return }
    }
    let source = context.sourceNumber(of: address, in: holder)
    if !writer.append(Edge(target: target, offset: offset, source: source), source: holder) {
      states.add(.unread, to: holder)
    }
  }

  private mutating func foundInRoot(_ pointer: RootPointer) {
    let block = Int(pointer.block)
    if states[block].contains(.reached) { return }
    if pointer.offset.isPlain || isAgain {
      if context.mark(block, isStart: context.isStart(pointer.offset, of: block), holder: pointer.holder),
        context.options.retainsSources
      {
        sources.append(pointer)
      }
    } else if pending.count < Self.pendingLimit {
      pending.append(pointer)
    } else {
      missedRoots = true
    }
  }
}

/// Memory that should have been read.
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
