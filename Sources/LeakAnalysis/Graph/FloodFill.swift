/// Spreads what is known of blocks along the pointers between them.
///
/// Blocks whose pointers are to be followed wait on a stack; each comes there once for each thing it can become.
final class FloodFill {
  private let context: ScanContext
  private let states: BlockStates
  private let edges: EdgeStore
  private let index: BlockIndex
  private let acceptsInterior: Bool
  private let stackMemory: PageMemory
  private let stack: UnsafeMutablePointer<UInt32>
  private var count = 0
  private let batch = Batch()

  init(_ context: ScanContext) {
    self.context = context
    states = context.states
    edges = context.edges
    index = context.index
    acceptsInterior = context.options.acceptsInteriorPointers
    stackMemory = PageMemory(of: UInt32.self, count: context.index.count)
    stack = stackMemory.elements(of: UInt32.self)
  }

  /// Spreads from all blocks that are marked as reached, along pointers to starts, and marks as possibly reached what
  /// interior pointers lead to.
  func spreadReached() { _ = spreadReached { _ in [] } }

  /// Spreads on from blocks that have just been marked as reached; all from before have been followed.
  func spreadReached(from blocks: some Sequence<Int>) {
    for block in blocks { push(block) }
    _ = spread { _ in [] }
  }

  /// The same, where some blocks have not been read yet: they are handed to `read`, which returns the blocks that it
  /// finds to be reached, or nil to give up. Returns whether it did not give up.
  func spreadReached(reading read: (Int) -> [UInt32]?) -> Bool {
    for block in (0..<index.count).reversed() where states[block].contains(.reached) { push(block) }
    return spread(reading: read)
  }

  private func spread(reading read: (Int) -> [UInt32]?) -> Bool {
    drain {
      if states[$0].contains(.unread) {
        guard let found = read($0) else { return false }
        for target in found { push(Int(target)) }
      }
      reach(index.parent($0), from: $0)
      return true
    } follow: {
      if states[$0.target].contains(.reached) { return }
      if context.isStart($0.offset, of: $0.target) {
        reach($0.target, from: $1)
      } else if acceptsInterior && context.isInside($0.offset, of: $0.target) {
        addPossible($0.target, from: $1)
      }
    }
  }

  private func reach(_ block: Int, from source: Int) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    add(.reached, block)
    context.forest?.note(block, from: source)
    push(block)
  }

  /// Spreads from the blocks that only an interpreter's heap refers to, one heap after the other.
  func spreadHeld() {
    for number in 0..<context.roots.holders.count {
      let holder = UInt16(number + 1)
      // A block that two heaps reach belongs to the earlier one.
      for block in 0..<index.count where context.holders[block].load(ordering: .relaxed) == holder {
        if !states[block].contains(.reached) { push(block) }
      }
      _ = drain {
        hold(index.parent($0), holder, from: $0)
        return true
      } follow: {
        if states[$0.target].contains(.reached) { return }
        if context.isStart($0.offset, of: $0.target) {
          hold($0.target, holder, from: $1)
        } else if acceptsInterior && context.isInside($0.offset, of: $0.target) {
          addPossible($0.target, from: $1)
        }
      }
    }
  }

  private func hold(_ block: Int, _ holder: UInt16, from source: Int) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    let known = context.holders[block].load(ordering: .relaxed)
    guard known == 0 || known > holder else { return }
    context.holders[block].store(holder, ordering: .relaxed)
    context.forest?.note(block, from: source)
    add(.held, block)
    push(block)
  }

  /// Spreads from the blocks that only interior pointers lead to, along all pointers.
  func spreadPossible() {
    for block in 0..<index.count {
      let state = states[block]
      if state.contains(.possible) && state.isDisjoint(with: [.reached, .held]) { push(block) }
    }
    _ = drain {
      suspect(index.parent($0), from: $0)
      return true
    } follow: {
      edge, source in
      if counts(edge) { suspect(edge.target, from: source) }
    }
  }

  private func suspect(_ block: Int, from source: Int) {
    guard block >= 0, states[block].isDisjoint(with: [.reached, .held, .possible]) else { return }
    addPossible(block, from: source)
    push(block)
  }

  private func addPossible(_ block: Int, from source: Int) {
    if states[block].isDisjoint(with: [.reached, .held, .possible]) { context.forest?.note(block, from: source) }
    add(.possible, block)
  }

  /// Sorts what is left into blocks that nothing leads to and those that depend on them.
  ///
  /// memcheck's way: each block not yet claimed leads a clique of all it leads to; it also takes over leaders found so far.
  /// In ascending order of address, so that the lowest block of a cycle leads it.
  func formCliques(_ keeps: CliqueSizes) {
    for leader in 0..<index.count where isLost(leader) {
      push(leader)
      _ = drain {
        claim(index.parent($0), leader, keeps)
        return true
      } follow: {
        edge, _ in
        if counts(edge) { claim(edge.target, leader, keeps) }
      }
    }
  }

  private func claim(_ block: Int, _ leader: Int, _ keeps: CliqueSizes) {
    guard block >= 0, block != leader, isLost(block) else { return }
    keeps.add(keeps[block], to: leader)
    keeps.add((index.size(block), 1), to: leader)
    keeps.clear(block)
    add(.indirect, block)
    push(block)
  }

  /// A block that is not reached in any way and that no leader has claimed.
  private func isLost(_ block: Int) -> Bool {
    states[block].isDisjoint(with: [.reached, .held, .possible, .indirect])
  }

  @inline(__always)
  private func counts(_ edge: Edge) -> Bool {
    acceptsInterior && context.isInside(edge.offset, of: edge.target) || context.isStart(edge.offset, of: edge.target)
  }

  @inline(__always)
  private func add(_ state: BlockState, _ block: Int) { states.set(block, states[block].union(state)) }

  @inline(__always)
  private func push(_ block: Int) {
    stack[count] = UInt32(truncatingIfNeeded: block)
    count &+= 1
  }

  /// Room for what a batch of blocks leads to.
  private struct Batch {
    static let blocks = 64
    static let edges = 512
    private let memory: PageMemory
    let blocks: UnsafeMutablePointer<UInt32>
    let runs: UnsafeMutablePointer<UInt32>
    let edges: UnsafeMutablePointer<Edge>
    /// The block that each of these was found in.
    let sources: UnsafeMutablePointer<UInt32>

    init() {
      memory = PageMemory(byteCount: Self.blocks * 8 + Self.edges * (MemoryLayout<Edge>.stride + 4))
      edges = memory.elements(of: Edge.self)
      blocks = (memory.base + Self.edges * MemoryLayout<Edge>.stride).assumingMemoryBound(to: UInt32.self)
      runs = blocks + Self.blocks
      sources = runs + Self.blocks
    }
  }

  /// Empties the stack: calls `visit` for each block, and `follow` for each of its pointers. Stops early, with an empty
  /// stack, when `visit` says so; false then.
  ///
  /// Blocks are taken in batches, and what all of them need is loaded before any of it is looked at: one load from memory
  /// takes as long as ten that do not wait for each other.
  @inline(__always)
  private func drain(_ visit: (Int) -> Bool, follow: (Edge, _ source: Int) -> Void) -> Bool {
    var touched: UInt32 = 0
    while count > 0 {
      let taken = min(count, Batch.blocks)
      count &-= taken
      batch.blocks.update(from: stack + count, count: taken)
      for number in 0..<taken { batch.runs[number] = edges.run(of: Int(batch.blocks[number])) }
      for number in 0..<taken { touched |= edges.words[Int(batch.runs[number])] }
      for number in 0..<taken {
        guard visit(Int(batch.blocks[number])) else {
          count = 0
          return false
        }
      }
      var gathered = 0
      for number in 0..<taken where batch.runs[number] != 0 {
        edges.forEachEdge(of: Int(batch.blocks[number])) { edge in
          batch.edges[gathered] = edge
          batch.sources[gathered] = batch.blocks[number]
          gathered &+= 1
          if gathered == Batch.edges {
            for place in 0..<gathered { follow(batch.edges[place], Int(batch.sources[place])) }
            gathered = 0
          }
        }
      }
      for place in 0..<gathered { touched |= UInt32(states[batch.edges[place].target].rawValue) }
      for place in 0..<gathered { follow(batch.edges[place], Int(batch.sources[place])) }
    }
    // Or else the compiler would drop the loads.
    batch.blocks[0] = touched
    return true
  }
}
