import Glibc
import Synchronization

/// The pointers found in blocks.
///
/// Threads write them to chunks of their own. They come in the order of memory, so that those of a block mostly lie
/// together, and nothing needs to be sorted: for each block there is the place of its run, and a list of further runs for
/// blocks that were read in several pieces.
final class EdgeStore: @unchecked Sendable {
  let format: EdgeFormat
  let words: UnsafeMutablePointer<UInt32>
  /// One more than the place of each block's run; 0 when there is none.
  private let runs: UnsafeMutablePointer<Atomic<UInt32>>
  private let memory: PageMemory
  private let runMemory: PageMemory
  private let blocks: Int
  private let chunkWords: Int
  private let nextChunk = Atomic(0)
  /// The number of chunks that may be used. Addresses are reserved for that many.
  private let allowedChunks: Atomic<Int>
  private let reservedChunks: Int
  /// Ascending by block. Complete after `finish`.
  private var furtherRuns: [FurtherRun] = []

  struct FurtherRun {
    let block: UInt32
    let place: UInt32
  }

  /// - Parameter budget: in bytes; nil for no limit.
  init(blocks: Int, keepsSources: Bool, budget: Int?) {
    self.blocks = blocks
    format = EdgeFormat(blocks: blocks, keepsSources: keepsSources)
    let budgetWords = max(1 << 6, (budget ?? .max) / MemoryLayout<UInt32>.size)
    chunkWords = min(1 << 16, max(1 << 4, budgetWords / 16))
    // Reserves addresses without memory behind them: as many words as 32 bits can number, or fewer where the kernel
    // promises no more than it has.
    var reservedWords = 1 << 32 - 1 << 16
    func reserve() -> PageMemory? { PageMemory(reserving: reservedWords * 4, expected: blocks * 4) }
    var reserved = reserve()
    while reserved == nil, reservedWords > 1 << 20 {
      reservedWords /= 2
      reserved = reserve()
    }
    memory = reserved ?? PageMemory(of: UInt32.self, count: reservedWords)
    words = memory.elements(of: UInt32.self)
    reservedChunks = reservedWords / chunkWords
    allowedChunks = Atomic(min(reservedChunks, max(1, budgetWords / chunkWords)))
    runMemory = PageMemory(of: UInt32.self, count: blocks, isDense: true)
    runs = runMemory.elements(of: Atomic<UInt32>.self)
  }

  /// Chunks in use, and bytes of them.
  private var usedChunks: Int {
    min(nextChunk.load(ordering: .relaxed), allowedChunks.load(ordering: .relaxed))
  }
  var usedBytes: Int { usedChunks * chunkWords * MemoryLayout<UInt32>.size }

  /// Allows more chunks than the budget has.
  func liftBudget() { allowedChunks.store(reservedChunks, ordering: .relaxed) }

  /// Places of a new chunk, all of it zeros; nil when the budget is used up.
  func takeChunk() -> Range<Int>? {
    guard nextChunk.load(ordering: .relaxed) < allowedChunks.load(ordering: .relaxed) else { return nil }
    let taken = nextChunk.add(1, ordering: .relaxed).oldValue
    guard taken < allowedChunks.load(ordering: .relaxed) else {
      nextChunk.subtract(1, ordering: .relaxed)
      return nil
    }
    return taken * chunkWords..<(taken + 1) * chunkWords
  }

  /// Enters a run; false when its block has one already.
  @inline(__always)
  func enter(run place: Int, of block: Int) -> Bool {
    runs[block].compareExchange(
      expected: 0, desired: UInt32(truncatingIfNeeded: place &+ 1), ordering: .relaxed
    ).exchanged
  }

  /// Takes over runs that could not be entered, when all threads are done.
  func add(_ further: [FurtherRun]) {
    if further.isEmpty { return }
    furtherRuns += further
    furtherRuns.sort { ($0.block, $0.place) < ($1.block, $1.place) }
  }

  /// One more than the place of the first word behind the start of a block's run; 0 when it has none.
  @inline(__always)
  func run(of block: Int) -> UInt32 { runs[block].load(ordering: .relaxed) }

  /// Calls `body` for each pointer found in a block.
  @inline(__always)
  func forEachEdge(of block: Int, _ body: (Edge) -> Void) {
    let place = runs[block].load(ordering: .relaxed)
    guard place != 0 else { return }
    format.forEachEdge(ofRunAt: words + (Int(place) &- 1), body)
    if furtherRuns.isEmpty { return }
    furtherRuns.withUnsafeBufferPointer { further in
      var next = firstPosition(in: further) { $0.block >= UInt32(block) }
      while next < further.count, further[next].block == UInt32(block) {
        format.forEachEdge(ofRunAt: words + Int(further[next].place), body)
        next += 1
      }
    }
  }

  /// Drops all pointers for which `isNeeded` says no, and makes room for others.
  func compact(_ isNeeded: (_ source: Int, Edge) -> Bool) {
    let chunks = usedChunks
    for block in 0..<blocks { runs[block].store(0, ordering: .relaxed) }
    furtherRuns = []
    var further: [FurtherRun] = []
    let scratchMemory = PageMemory(of: UInt32.self, count: chunkWords + EdgeFormat.wordsOfEdge)
    let scratch = scratchMemory.elements(of: UInt32.self)
    // Runs are moved in place. Writing never overtakes reading, because no run grows and none is split: putting each
    // run into the first chunk in which it fits never needs more chunks than any other way to keep their order.
    var target = 0
    for chunk in 0..<chunks {
      var place = chunk * chunkWords
      let end = place + chunkWords
      while place < end, words[place] != 0 {
        let block = Int(words[place]) - 1
        scratch[0] = words[place]
        var count = 1
        var last = 0
        place += format.forEachEdge(ofRunAt: words + place) { edge in
          guard isNeeded(block, edge) else { return }
          last = count
          count += format.write(edge, to: scratch + count)
        }
        guard last > 0 else { continue }
        scratch[last] |= EdgeFormat.lastBit
        let room = chunkWords - target % chunkWords
        if count > room {
          clear(target, count: room)
          target += room
        }
        (words + target).update(from: scratch, count: count)
        if !enter(run: target, of: block) {
          further.append(FurtherRun(block: UInt32(block), place: UInt32(target)))
        }
        target += count
      }
    }
    withExtendedLifetime(scratchMemory) {}
    clear(target, count: chunks * chunkWords - target)
    nextChunk.store((target + chunkWords - 1) / chunkWords, ordering: .relaxed)
    add(further)
  }

  private func clear(_ place: Int, count: Int) {
    memset(words + place, 0, count * MemoryLayout<UInt32>.size)
  }
}
