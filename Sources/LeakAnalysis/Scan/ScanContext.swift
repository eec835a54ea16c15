import Synchronization

/// What all threads of a scan share.
final class ScanContext: @unchecked Sendable {
  let index: BlockIndex
  let states: BlockStates
  let edges: EdgeStore
  let options: ScanOptions
  let roots: RootMap
  /// The segments of `roots`.
  let segments: UnsafeBufferPointer<RootMap.Segment>
  private let segmentMemory: PageMemory
  let modules: ModuleMap
  /// For blocks with the state `held` the number of the interpreter heap, the least of several.
  let holders: UnsafeMutablePointer<Atomic<UInt16>>
  private let holderMemory: PageMemory
  /// What `index` and `states` point into.
  private let table: BlockTable
  private let stateMemory: PageMemory
  /// Words that count as the start of their block: its number in the upper, the word's in the lower 32 bits; ascending.
  /// Complete when all memory has been read.
  var bases: [UInt64] = []
  /// nil unless holders are to be noted.
  let forest: HolderForest?
  /// How strong the roots' claims are, by their places.
  let strengths: [HolderStrength]

  /// Which roots are heaps of glibc's, by their places: free chunks lie there.
  let glibcHeaps: [Bool]

  /// Whether interior pointers to the second word, to the fourth, to any word can be the start by some heuristic.
  let secondWordMatters: Bool
  let fourthWordMatters: Bool
  let basesMatter: Bool

  init(
    table: BlockTable, states: PageMemory, edges: EdgeStore, options: ScanOptions, roots: RootMap, modules: ModuleMap,
    strengths: [HolderStrength] = [], glibcHeaps: [Bool] = []
  ) {
    self.glibcHeaps = glibcHeaps
    forest = options.notesHolders ? HolderForest(blocks: table.count) : nil
    self.strengths = strengths
    self.table = table
    index = table.index
    stateMemory = states
    self.states = BlockStates(states)
    self.edges = edges
    self.options = options
    self.roots = roots
    segmentMemory = PageMemory(of: RootMap.Segment.self, count: roots.segments.count)
    let copies = UnsafeMutableBufferPointer(
      start: segmentMemory.elements(of: RootMap.Segment.self), count: roots.segments.count)
    _ = copies.initialize(from: roots.segments)
    segments = UnsafeBufferPointer(copies)
    self.modules = modules
    holderMemory = PageMemory(of: UInt16.self, count: index.count)
    holders = holderMemory.elements(of: Atomic<UInt16>.self)
    secondWordMatters = !options.heuristics.isDisjoint(with: [.length64, .newArray])
    fourthWordMatters = options.heuristics.contains(.standardString)
    basesMatter = options.heuristics.contains(.multipleInheritance) && !modules.isEmpty
  }

  /// Where in its block a pointer lies, in 32 bits.
  @inline(__always)
  func sourceNumber(of address: UInt64, in block: Int) -> UInt32 {
    let start = index.starts[block]
    return UInt32(clamping: options.alignment == 1 ? address &- start : (address &- (start & ~7)) >> 3)
  }

  /// The address of a pointer by its number.
  func sourceAddress(_ number: UInt32, in block: Int) -> UInt64 {
    let start = index.starts[block]
    return options.alignment == 1 ? start + UInt64(number) : (start & ~7) + UInt64(number) * 8
  }

  /// How a pointer to somewhere in a block leads to it. Unaligned places and blocks fit no heuristic.
  @inline(__always)
  func offset(of pointer: UInt64, in block: Int) -> PointerOffset {
    let start = index.starts[block]
    let offset = pointer &- start
    if offset == 0 { return .start }
    if start & 4095 == 0 && states[block].contains(.anyPointer) { return .start }
    if (offset | start) & 7 != 0 { return .interior }
    let word = offset >> 3
    if word == 1 && (secondWordMatters || index.size(block) == 8) || word == 3 && fourthWordMatters
      || basesMatter && word < 1 << 31
    {
      return PointerOffset(word: UInt32(truncatingIfNeeded: word))
    }
    return .interior
  }

  /// Whether a pointer counts as one to the start of its block. To be asked when all memory has been read.
  @inline(__always)
  func isStart(_ offset: PointerOffset, of block: Int) -> Bool {
    offset.isPlain ? offset.isStart : isStartByHeuristic(offset.word, of: block)
  }

  /// Whether a pointer counts at least as one to the middle of its block. A pointer behind a block of one word does
  /// not.
  @inline(__always)
  func isInside(_ offset: PointerOffset, of block: Int) -> Bool {
    offset.isPlain || offset.word != 1 || index.size(block) != 8
  }

  private func isStartByHeuristic(_ word: UInt32, of block: Int) -> Bool {
    let state = states[block]
    if state.contains(.manyBases) || word == 1 && state.contains(.secondWord)
      || word == 3 && state.contains(.fourthWord)
    {
      return true
    }
    guard state.contains(.bases) else { return false }
    let key = UInt64(block) << 32 | UInt64(word)
    return bases.withUnsafeBufferPointer { bases in
      let place = firstPosition(in: bases) { $0 >= key }
      return place < bases.count && bases[place] == key
    }
  }

  /// The name of the interpreter heap that holds a block.
  func holder(of block: Int) -> String? {
    let number = Int(holders[block].load(ordering: .relaxed))
    return number > 0 ? roots.holders[number - 1] : nil
  }

  /// Whether a word of a root is a link of a free chunk of glibc's to another: that names the chunk's header, whose first word
  /// is the last one of the block before.
  @inline(__always)
  func isChunkLink(_ root: UInt32, _ pointer: UInt64, to block: Int) -> Bool {
    guard Int(root) < glibcHeaps.count, glibcHeaps[Int(root)] else { return false }
    let chunk = max(32, (index.size(block) &+ 23) & ~15)
    return pointer == index.starts[block] &- 16 &+ chunk
  }

  /// Whether a pointer from a root waits until what is stronger has been followed.
  @inline(__always)
  func isWeak(_ root: UInt32) -> Bool {
    forest != nil && Int(root) < strengths.count && strengths[Int(root)] != .variables
  }

  /// Marks what a pointer leads to, and notes from where; whether that is news.
  func mark(_ pointer: RootPointer) -> Bool {
    let block = Int(pointer.block)
    let before = states[block]
    guard mark(block, pointer.offset, holder: pointer.holder) else { return false }
    // What is weaker than what is known already is not noted.
    let isStart = isStart(pointer.offset, of: block)
    let isBetter = isStart && pointer.holder == 0 || before.isDisjoint(with: isStart ? .reached : [.reached, .held])
    if let forest, isBetter {
      forest.note(block, fromRoot: pointer.root, isValue: pointer.isValue)
    }
    return true
  }

  /// Marks a block as reached by a root's pointer to somewhere in it; whether that is news.
  func mark(_ block: Int, _ offset: PointerOffset, holder: UInt16) -> Bool {
    guard isStart(offset, of: block) else {
      return options.acceptsInteriorPointers && isInside(offset, of: block) && states.add(.possible, to: block)
    }
    if holder == 0 { return states.add(.reached, to: block) }
    var known = holders[block].load(ordering: .relaxed)
    var isNew = false
    while !isNew, known == 0 || holder < known {
      (isNew, known) = holders[block].compareExchange(expected: known, desired: holder, ordering: .relaxed)
    }
    states.add(.held, to: block)
    return isNew
  }
}

/// Where the pointer from a root lies that a block was reached by.
struct RootPlace {
  let block: UInt32
  let address: UInt64
}

/// A pointer to a block that was found in a root.
struct RootPointer {
  let block: UInt32
  let offset: PointerOffset
  /// 0, or the number of the interpreter heap.
  let holder: UInt16
  /// Whether `root` is the place of a value, not that of a range of memory.
  let isValue: Bool
  let root: UInt32
  let address: UInt64
  let pointer: UInt64
}
