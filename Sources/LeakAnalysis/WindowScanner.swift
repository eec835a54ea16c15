import Glibc
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
  private let candidates = Candidates()
  private let segments: UnsafeBufferPointer<RootMap.Segment>
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
    segments = context.segments
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

  /// Reads a stretch of memory, aligned to words, and searches it.
  mutating func search(_ stretch: Range<UInt64>) {
    var address = stretch.lowerBound
    while address < stretch.upperBound {
      let wanted = min(Int(stretch.upperBound - address), context.options.windowBytes)
      let target = UnsafeMutableRawBufferPointer(start: buffer.base, count: wanted + Self.lookAhead)
      let readable = memory.read(at: address, into: target)
      if readable > 0 {
        // What is left of the window before would pass for the bytes behind the last.
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
    let rough = RoughFilter(filter)
    let words = buffer.base.assumingMemoryBound(to: UInt64.self)
    // Without branches: whether a group has a hit is as good as random.
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

  /// Follows the words picked, in batches.
  private mutating func follow(_ found: Int, base: UInt64, _ cursor: inout Cursor) {
    var number = 0
    while number < found {
      let end = min(found, number + Candidates.limit)
      let count = findHolders(number..<end, base: base, &cursor)
      number = end
      index.find(candidates.pointers, count: count, into: candidates.targets, scratch: candidates.scratch)
      var touched = BlockState()
      for candidate in 0..<count { touched.formUnion(states[max(0, Int(candidates.targets[candidate]))]) }
      for candidate in 0..<count {
        let target = Int(candidates.targets[candidate])
        let holder = Int(candidates.holders[candidate])
        if target < 0 || target == holder || states[target].contains(.reached) { continue }
        let address = base &+ UInt64(candidates.positions[candidate])
        if holder >= 0 {
          foundInBlock(holder, target, candidates.pointers[candidate], address)
        } else {
          foundInRoot(segments[-1 &- holder], target, candidates.pointers[candidate], address)
        }
      }
      // Or else the compiler would drop the loads.
      candidates.scratch[0] = UInt32(touched.rawValue)
    }
  }

  /// Finds out what holds the words picked and makes candidates of those that something holds; their number.
  @inline(__always)
  private func findHolders(_ picked: Range<Int>, base: UInt64, _ cursor: inout Cursor) -> Int {
    var count = 0
    for number in picked {
      let position = Int(hits[number])
      let address = base &+ UInt64(position)
      while index.starts[cursor.nextBlock] <= address { cursor.nextBlock &+= 1 }
      // No word of which a part belongs to something else.
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
      }
      candidates.pointers[count] = (buffer.base + position).loadUnaligned(as: UInt64.self)
      candidates.positions[count] = UInt32(truncatingIfNeeded: position)
      candidates.holders[count] = Int32(truncatingIfNeeded: holder)
      count &+= 1
    }
    return count
  }

  /// Notes a pointer in a block to one that is not known to be reached.
  @inline(__always)
  private mutating func foundInBlock(_ holder: Int, _ target: Int, _ pointer: UInt64, _ address: UInt64) {
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

  private mutating func foundInRoot(_ segment: RootMap.Segment, _ target: Int, _ pointer: UInt64, _ address: UInt64) {
    let found = RootPointer(
      block: UInt32(truncatingIfNeeded: target), offset: context.offset(of: pointer, in: target),
      holder: segment.holder, isValue: false, root: segment.root, address: address, pointer: pointer)
    if found.offset.isPlain || isAgain {
      if context.mark(target, isStart: context.isStart(found.offset, of: target), holder: segment.holder),
        context.options.retainsSources
      {
        sources.append(found)
      }
    } else if pending.count < Self.pendingLimit {
      pending.append(found)
    } else {
      missedRoots = true
    }
  }
}

/// Words that something holds and that may point to blocks.
private struct Candidates {
  private let memory: PageMemory
  let pointers: UnsafeMutablePointer<UInt64>
  /// Where they lie in the window.
  let positions: UnsafeMutablePointer<UInt32>
  /// The block that holds each, or −1 minus the number of the root's segment.
  let holders: UnsafeMutablePointer<Int32>
  /// The block that each leads to, or −1.
  let targets: UnsafeMutablePointer<Int32>
  let scratch: UnsafeMutablePointer<UInt32>

  static let limit = 256

  init() {
    memory = PageMemory(byteCount: Self.limit * 32)
    pointers = memory.elements(of: UInt64.self)
    positions = (memory.base + Self.limit * 8).assumingMemoryBound(to: UInt32.self)
    holders = (memory.base + Self.limit * 12).assumingMemoryBound(to: Int32.self)
    targets = (memory.base + Self.limit * 16).assumingMemoryBound(to: Int32.self)
    scratch = (memory.base + Self.limit * 20).assumingMemoryBound(to: UInt32.self)
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
