/// Finds out where pointers lead, marks what they reach, and keeps those between blocks. Each thread has its own.
struct PointerResolver {
  private let context: ScanContext
  private let index: BlockIndex
  private let states: BlockStates
  private let segments: UnsafeBufferPointer<RootMap.Segment>
  private let round: Round
  private let targets: UnsafeMutablePointer<Int32>
  private let scratch: UnsafeMutablePointer<UInt32>
  private let scratchMemory: PageMemory
  private var writer: EdgeWriter

  /// Pointers from roots that wait until all heads of blocks have been seen.
  private(set) var pending: [RootPointer] = []
  /// Whether more of these came than are kept.
  private(set) var missedRoots = false
  /// Pointers from roots that wait until those of stronger holders have been followed.
  private(set) var weak: [RootPointer] = []
  /// Where pointers from roots lie that blocks were reached by.
  private(set) var rootPointers: [RootPlace] = []
  /// Pointers from roots that told something new, if sources are kept.
  private(set) var sources: [RootPointer] = []
  /// Blocks found to be reached, if wanted.
  private var newlyReached: [UInt32]?

  /// Which part of the scan is under way.
  enum Round {
    /// Memory is being read: what heuristics look at is not known of all blocks.
    case reading
    /// All memory has been read.
    case done
    /// Some blocks are read again, and only these count as holders.
    case again
  }

  /// Pointers looked up at once.
  static let batch = 256
  private static let pendingLimit = 1 << 14
  /// Of each thread. Further ones are followed at once, and where they lie is not kept.
  private static let weakLimit = 1 << 17
  private static let rootPointerLimit = 1 << 17

  init(_ context: ScanContext, round: Round, listsReached: Bool = false) {
    self.context = context
    self.round = round
    index = context.index
    states = context.states
    segments = context.segments
    scratchMemory = PageMemory(of: UInt32.self, count: Self.batch * 3)
    scratch = scratchMemory.elements(of: UInt32.self)
    targets = (scratchMemory.base + Self.batch * 8).assumingMemoryBound(to: Int32.self)
    writer = EdgeWriter(context.edges)
    newlyReached = listsReached ? [] : nil
  }

  /// Ends the writing of edges; returns runs to be added to the store.
  mutating func finish() -> [EdgeStore.FurtherRun] {
    writer.endRun()
    return writer.furtherRuns
  }

  /// The blocks reached since the last call.
  mutating func takeNewlyReached() -> [UInt32] {
    defer { newlyReached = [] }
    return newlyReached ?? []
  }

  /// Resolves all of a chunk and empties it.
  mutating func resolve(_ chunk: PointerChunk) {
    var first = 0
    while first < chunk.count {
      let count = min(chunk.count - first, Self.batch)
      resolve(chunk, from: first, count: count)
      first += count
    }
    chunk.count = 0
  }

  private mutating func resolve(_ chunk: PointerChunk, from first: Int, count: Int) {
    let values = chunk.values + first
    let holders = chunk.holders + first
    index.find(values, count: count, into: targets, scratch: scratch)
    var touched = BlockState()
    for number in 0..<count { touched.formUnion(states[max(0, Int(targets[number]))]) }
    // Or else the compiler would drop the loads.
    scratch[0] = UInt32(touched.rawValue)
    for number in 0..<count {
      let target = Int(targets[number])
      let holder = Int(holders[number])
      // The block is reached already: no further pointer can tell more of it.
      if target < 0 || target == holder || states[target].contains(.reached) { continue }
      let address = chunk.addresses.map { $0[first &+ number] } ?? 0
      if holder >= 0 {
        foundInBlock(holder, target, values[number], address)
      } else {
        foundInRoot(segments[-1 &- holder], target, values[number], address)
      }
    }
  }

  @inline(__always)
  private mutating func foundInBlock(_ holder: Int, _ target: Int, _ pointer: UInt64, _ address: UInt64) {
    let state = states[holder]
    if round == .again && !state.contains(.rereading) || state.contains(.unread) { return }
    var offset = context.offset(of: pointer, in: target)
    if !offset.isPlain && round != .reading && !context.options.retainsSources {
      if context.isStart(offset, of: target) {
        offset = .start
      } else if context.isInside(offset, of: target) {
        offset = .interior
      } else {
        return
      }
    }
    if !context.options.acceptsInteriorPointers && offset == .interior { return }
    if state.contains(.reached) && offset.isPlain {
      let isKnown = !states[target].isDisjoint(with: [.reached, .held])
      if states.add(offset.isStart ? .reached : .possible, to: target) {
        if offset.isStart { newlyReached?.append(UInt32(truncatingIfNeeded: target)) }
        if offset.isStart || !isKnown { context.forest?.note(target, from: holder) }
      }
      if !context.options.retainsSources { return }
    }
    let source = context.sourceNumber(of: address, in: holder)
    if !writer.append(Edge(target: target, offset: offset, source: source), source: holder) {
      states.add(.unread, to: holder)
    }
  }

  private mutating func foundInRoot(
    _ segment: RootMap.Segment, _ target: Int, _ pointer: UInt64, _ address: UInt64
  ) {
    if context.isChunkLink(segment.root, pointer, to: target) { return }
    let found = RootPointer(
      block: UInt32(truncatingIfNeeded: target), offset: context.offset(of: pointer, in: target),
      holder: segment.holder, isValue: false, root: segment.root, address: address, pointer: pointer)
    if found.offset.isPlain || round != .reading {
      if context.isWeak(found.root), weak.count < Self.weakLimit {
        weak.append(found)
        return
      }
      guard context.mark(found) else { return }
      if context.options.retainsSources { sources.append(found) }
      if context.forest != nil, rootPointers.count < Self.rootPointerLimit {
        rootPointers.append(RootPlace(block: found.block, address: found.address))
      }
    } else if pending.count < Self.pendingLimit {
      pending.append(found)
    } else {
      missedRoots = true
    }
  }
}
