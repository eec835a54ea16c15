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

  /// The same, where some blocks have not been read yet: they are handed to `read`, which returns the blocks that it
  /// finds to be reached, or nil to give up. Returns whether it did not give up.
  func spreadReached(reading read: (Int) -> [UInt32]?) -> Bool {
    for block in (0..<index.count).reversed() where states[block].contains(.reached) { push(block) }
    return drain {
      if states[$0].contains(.unread) {
        guard let found = read($0) else { return false }
        for target in found { push(Int(target)) }
      }
      reach(index.parent($0))
      return true
    } follow: {
      if states[$0.target].contains(.reached) { return }
      if context.isStart($0.offset, of: $0.target) {
        reach($0.target)
      } else if acceptsInterior && context.isInside($0.offset, of: $0.target) {
        add(.possible, $0.target)
      }
    }
  }

  private func reach(_ block: Int) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    add(.reached, block)
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
        hold(index.parent($0), holder)
        return true
      } follow: {
        if states[$0.target].contains(.reached) { return }
        if context.isStart($0.offset, of: $0.target) {
          hold($0.target, holder)
        } else if acceptsInterior && context.isInside($0.offset, of: $0.target) {
          add(.possible, $0.target)
        }
      }
    }
  }

  private func hold(_ block: Int, _ holder: UInt16) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    let known = context.holders[block].load(ordering: .relaxed)
    guard known == 0 || known > holder else { return }
    context.holders[block].store(holder, ordering: .relaxed)
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
      suspect(index.parent($0))
      return true
    } follow: {
      if counts($0) { suspect($0.target) }
    }
  }

  private func suspect(_ block: Int) {
    guard block >= 0, states[block].isDisjoint(with: [.reached, .held, .possible]) else { return }
    add(.possible, block)
    push(block)
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
        if counts($0) { claim($0.target, leader, keeps) }
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

    init() {
      memory = PageMemory(byteCount: Self.blocks * 8 + Self.edges * MemoryLayout<Edge>.stride)
      edges = memory.elements(of: Edge.self)
      blocks = (memory.base + Self.edges * MemoryLayout<Edge>.stride).assumingMemoryBound(to: UInt32.self)
      runs = blocks + Self.blocks
    }
  }

  /// Empties the stack: calls `visit` for each block, and `follow` for each of its pointers. Stops early, with an empty
  /// stack, when `visit` says so; false then.
  ///
  /// Blocks are taken in batches, and what all of them need is loaded before any of it is looked at: one load from memory
  /// takes as long as ten that do not wait for each other.
  @inline(__always)
  private func drain(_ visit: (Int) -> Bool, follow: (Edge) -> Void) -> Bool {
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
          gathered &+= 1
          if gathered == Batch.edges {
            for place in 0..<gathered { follow(batch.edges[place]) }
            gathered = 0
          }
        }
      }
      for place in 0..<gathered { touched |= UInt32(states[batch.edges[place].target].rawValue) }
      for place in 0..<gathered { follow(batch.edges[place]) }
    }
    // Or else the compiler would drop the loads.
    batch.blocks[0] = touched
    return true
  }
}
