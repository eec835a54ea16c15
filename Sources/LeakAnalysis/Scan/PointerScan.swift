import ProcessImage
import Synchronization
import TraceModel

/// Finds out which blocks a process can still reach, the way memcheck does, from outside.
///
/// One linear pass over roots and blocks notes every pointer to a block (`read`, while the process is stopped); a flood fill
/// over what was noted gives every block its kind (`classify`, when it runs again).
///
/// Blocks may lie inside of others (a pool's in the memory it takes them from). Such memory belongs to the innermost
/// block, and whoever reaches a block also reaches the block it lies in.
package final class PointerScan {
  package let options: ScanOptions
  let table: BlockTable
  let states: BlockStates
  private let stateMemory: PageMemory
  let edges: EdgeStore
  let log: PointerLog
  /// What the first call of `read` was given.
  private(set) var context: ScanContext?
  private var givenRoots: [Root] = []
  private var givenValues: [RootValue] = []
  private var phase = Phase.first
  private var plan: WindowPlan?
  var progress = Progress()

  /// Which pass over the memory is under way.
  enum Phase: Equatable {
    /// Everything is searched for the first time.
    case first
    /// Blocks whose pointers found no room are searched again, and how often that was done.
    case again(round: Int)
    /// Of the blocks that are still unread, those that are reached are read one by one.
    case oneByOne
    /// What is left is searched however much memory that takes.
    case rest
    case complete
  }

  /// What the threads have gathered so far.
  struct Progress {
    var scannedBytes: UInt64 = 0
    var unreadable = UnreadableMemory()
    var pending: [RootPointer] = []
    /// Whether pointers from roots must be looked for again.
    var missedRoots = false
    var sources: [RootPointer] = []
    var weak: [RootPointer] = []
    var rootPointers: [RootPlace] = []
    var bases: [UInt64] = []
  }

  /// Sorts and indexes the blocks; their tags are their positions in the array.
  package convenience init(blocks: [LeakBlock], options: ScanOptions = ScanOptions()) {
    var collector = BlockCollector()
    for (position, block) in blocks.enumerated() { collector.append(block, tag: UInt32(position)) }
    self.init(blocks: collector, options: options)
  }

  /// Sorts and indexes the blocks. Fit for the time while the process is stopped.
  package init(blocks: consuming BlockCollector, options: ScanOptions = ScanOptions()) {
    self.options = options
    table = BlockTable(blocks, threads: options.threads)
    stateMemory = PageMemory(of: UInt16.self, count: table.count, isDense: true)
    states = BlockStates(stateMemory)
    // The blocks themselves take 31 bytes each, and what classifying them needs up to 10 for most programs.
    edges = EdgeStore(
      blocks: table.count, keepsSources: options.retainsSources,
      budget: options.retainsSources ? nil : options.edgeBudgetInBytes ?? 24 * table.count + 4 << 20)
    log = PointerLog(
      budget: options.edgeBudgetInBytes ?? 16 * table.count + 2 << 20, keepsAddresses: options.retainsSources,
      memory: table.takeSpare())
  }

  /// Makes every pointer into a block count as one to its start: for memory that the program mapped itself, of which it
  /// uses any part. Whole pages only. To be called before `read`.
  package func countAnyPointer(into block: LeakBlock) {
    guard block.address & 4095 == 0 else { return }
    var number = table.index.find(block.address)
    while number >= 0, table.index.starts[number] == block.address {
      if table.index.size(number) == block.sizeInBytes { states.add(.anyPointer, to: number) }
      number -= 1
    }
  }

  /// The innermost block that the address lies in.
  func block(at address: UInt64) -> LeakBlock? {
    let number = table.index.find(address)
    guard number >= 0 else { return nil }
    let block = table.block(number)
    return address &- block.address < block.sizeInBytes ? block : nil
  }

  /// Searches roots and blocks for pointers to blocks, with `options.threads` threads.
  ///
  /// When it returns incomplete because the deadline has passed, calling it again goes on where it stopped, with the roots
  /// and mappings of the first call and with new values; what the process wrote in the meantime to memory already searched
  /// is not seen.
  ///
  /// - Parameters:
  ///   - roots: ranges of memory, whole mappings as a rule: what blocks lie in them is left out here. Where roots overlap,
  ///     memory belongs to the first in the array. Roots of kinds that `options.roots` leaves out are passed over, but
  ///     keep their memory from later ones.
  ///   - values: single words, such as registers.
  ///   - mappings: the process's mappings, to tell tables of virtual functions (for the heuristic of multiple inheritance).
  ///   - deadline: when to stop.
  package func read(
    roots: [Root], values: [RootValue] = [], mappings: [Mapping] = [], memory: some ScannableMemory,
    deadline: ContinuousClock.Instant? = nil
  ) -> ReadOutcome {
    let context = context ?? begin(roots, values, mappings)
    mark(values, context)
    let limits = ReadLimits(memory: memory, deadline: deadline)
    while phase != .complete, advance(context, limits) {}
    return ReadOutcome(
      isComplete: phase == .complete, scannedBytes: progress.scannedBytes,
      remainingBytes: phase == .complete ? 0 : max(1, plan?.remaining ?? 1),
      unreadableBytes: progress.unreadable.bytes, unreadable: progress.unreadable.ranges,
      readBlocksAgain: readsAgain)
  }

  /// Adds single words that the process can reach, before `classify`.
  func add(_ values: [RootValue]) {
    if !values.isEmpty { mark(values, context ?? begin([], values, [])) }
  }

  /// Memory in use for pointers between blocks.
  package var edgeBytes: Int { edges.usedBytes }

  /// Whether there was no room for all pointers.
  private var readsAgain = false

  private func begin(_ roots: [Root], _ values: [RootValue], _ mappings: [Mapping]) -> ScanContext {
    let map = RootMap(roots, values: values, policy: options.roots)
    let context = ScanContext(
      table: table, states: stateMemory, edges: edges, options: options, roots: map, modules: ModuleMap(mappings),
      strengths: options.notesHolders ? roots.map { HolderStrength($0.kind) } : [],
      glibcHeaps: roots.map { $0.kind == .unknownHeap && RootCollector.glibcHeaps.contains($0.name) })
    self.context = context
    givenRoots = options.retainsSources || options.notesHolders ? roots : []
    plan = WindowPlan(index: table.index, segments: map.segments, windowBytes: options.windowBytes)
    return context
  }

  /// Registers and the like. They wait with the roots' pointers for what heuristics need to know.
  private func mark(_ values: [RootValue], _ context: ScanContext) {
    for value in values where options.roots.includes(value.kind) {
      let block = table.index.find(value.value)
      guard block >= 0 else { continue }
      progress.pending.append(
        RootPointer(
          block: UInt32(block), offset: context.offset(of: value.value, in: block),
          holder: context.roots.number(of: value.kind), isValue: true, root: UInt32(givenValues.count), address: 0,
          pointer: value.value))
      if options.retainsSources || options.notesHolders { givenValues.append(value) }
    }
    if phase != .first { markPending(context) }
  }

  private func markPending(_ context: ScanContext) {
    for pointer in progress.pending {
      if pointer.isValue ? context.forest != nil : context.isWeak(pointer.root) {
        progress.weak.append(pointer)
      } else {
        _ = follow(pointer, context)
      }
    }
    progress.pending = []
  }

  /// Marks what a root's pointer leads to; whether that is news.
  private func follow(_ pointer: RootPointer, _ context: ScanContext) -> Bool {
    guard context.mark(pointer) else { return false }
    if options.retainsSources { progress.sources.append(pointer) }
    if context.forest != nil, !pointer.isValue, progress.rootPointers.count < Self.mostRootPointers {
      progress.rootPointers.append(RootPlace(block: pointer.block, address: pointer.address))
    }
    return true
  }

  private static let mostRootPointers = 1 << 18

  /// Follows what strong holders hold, and then the pointers that have waited for that, the strongest first.
  private func spread(_ flood: FloodFill, _ context: ScanContext) {
    flood.spreadReached()
    if progress.weak.isEmpty { return }
    var waves = [[RootPointer]](repeating: [], count: HolderStrength.allCases.count)
    for pointer in progress.weak {
      let place = Int(pointer.root)
      let strength: HolderStrength =
        pointer.isValue
        ? place < givenValues.count ? HolderStrength(givenValues[place].kind) : .registers
        : place < context.strengths.count ? context.strengths[place] : .memory
      waves[strength.rawValue].append(pointer)
    }
    progress.weak = []
    // What a function further out keeps stays longer than what those that it has called keep, or have left over.
    waves[HolderStrength.stacks.rawValue].sort { $0.address > $1.address }
    for (strength, wave) in waves.enumerated() {
      var reached: [Int] = []
      for pointer in wave {
        let block = Int(pointer.block)
        let isKnown = states[block].contains(.reached)
        if follow(pointer, context), !isKnown, states[block].contains(.reached) { reached.append(block) }
        if strength >= HolderStrength.stacks.rawValue, !reached.isEmpty {
          flood.spreadReached(from: reached)
          reached = []
        }
      }
      flood.spreadReached(from: reached)
    }
  }

  /// Does the next piece of work; false when the deadline came first.
  private func advance(_ context: ScanContext, _ limits: ReadLimits) -> Bool {
    guard let plan else { return false }
    switch phase {
    case .first:
      let log = log
      guard search(plan, limits, makingScanner: { WindowScanner(context, memory: limits.memory, log: log) }) else {
        return false
      }
      context.bases = progress.bases.sorted()
      progress.bases = []
      startAgain(round: 1, context)
    case .again(let round):
      guard readAgain(plan, context, limits, readsRoots: progress.missedRoots) else { return false }
      progress.missedRoots = false
      startAgain(round: round + 1, context)
    case .oneByOne:
      guard followOneByOne(context, limits) else { return false }
      compact(context)
      edges.liftBudget()
      self.plan = planRereading(context)
      phase = .rest
    case .rest:
      guard readAgain(plan, context, limits, readsRoots: false) else { return false }
      phase = .complete
    case .complete: return false
    }
    return true
  }

  /// Plans another round for blocks that were not read for want of room, if there are any.
  private func startAgain(round: Int, _ context: ScanContext) {
    guard progress.missedRoots || hasUnread else {
      phase = .complete
      return
    }
    readsAgain = true
    markPending(context)
    resolveLog(context, round: .done)
    spread(FloodFill(context), context)
    compact(context)
    if round > Self.mostRounds {
      phase = .oneByOne
    } else {
      plan = planRereading(context)
      phase = .again(round: round)
    }
  }

  private func readAgain(
    _ plan: WindowPlan, _ context: ScanContext, _ limits: ReadLimits, readsRoots: Bool
  ) -> Bool {
    // Memory that is read twice is counted once.
    let (scanned, unreadable) = (progress.scannedBytes, progress.unreadable)
    defer { (progress.scannedBytes, progress.unreadable) = (scanned, unreadable) }
    let isDone = search(plan, limits) {
      WindowScanner(again: context, memory: limits.memory, readsRoots: readsRoots)
    }
    guard isDone else { return false }
    for block in 0..<table.count where states[block].contains(.rereading) {
      states.set(block, states[block].subtracting(.rereading))
    }
    return true
  }

  /// Rounds over all unread blocks before those reached are read one by one: most programs need one.
  private static let mostRounds = 3

  private var hasUnread: Bool {
    (0..<table.count).contains { states[$0].contains(.unread) }
  }

  /// Drops pointers from and to blocks that are reached, and those of blocks to be read again.
  private func compact(_ context: ScanContext) {
    // For explanations all are needed, and no budget was set.
    if options.retainsSources { return }
    edges.compact { source, edge in
      states[source].isDisjoint(with: [.reached, .unread]) && !states[edge.target].contains(.reached)
    }
  }

  private func planRereading(_ context: ScanContext) -> WindowPlan {
    for block in 0..<table.count where states[block].contains(.unread) {
      states.set(block, states[block].subtracting(.unread).union(.rereading))
    }
    let states = states
    return WindowPlan(
      index: table.index, segments: progress.missedRoots ? context.roots.segments : [],
      windowBytes: options.windowBytes, includes: { states[$0].contains(.rereading) })
  }

  /// Gives every block its kind by what has been read. Needs no memory of the process. To be called once.
  ///
  /// After an incomplete `read` blocks that were not found to be reachable are `unchecked`.
  package func classify() -> Reachability {
    let context = context ?? begin([], [], [])
    if phase == .first { context.bases = progress.bases.sorted() }
    markPending(context)
    log.close()
    // What is kept of the words takes less than these themselves.
    edges.liftBudget()
    resolveLog(context, round: .done)
    // Where the kernel has no memory even for that, no block may be called lost.
    let isComplete = phase == .complete && !hasUnread
    let flood = FloodFill(context)
    spread(flood, context)
    flood.spreadHeld()
    let keeps = CliqueSizes(blocks: table.count)
    if isComplete {
      flood.spreadPossible()
      flood.formCliques(keeps)
    }
    return Reachability(
      table: table, context: context, stateMemory: stateMemory, keeps: keeps, isComplete: isComplete,
      roots: givenRoots, values: givenValues, sources: progress.sources,
      rootPlaces: progress.rootPointers)
  }
}

/// What one call of `read` may use.
struct ReadLimits: Sendable {
  let memory: any ScannableMemory
  let deadline: ContinuousClock.Instant?

  var isOver: Bool {
    guard let deadline else { return false }
    return ContinuousClock.now >= deadline
  }
}
