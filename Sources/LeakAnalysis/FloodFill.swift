/// Spreads what is known of blocks along the pointers between them.
struct FloodFill {
  private let context: ScanContext
  private let states: BlockStates
  /// Blocks whose pointers are still to be followed. Each block comes here once for each thing it can become.
  private var stack: BlockStack

  init(_ context: ScanContext) {
    self.context = context
    states = context.states
    stack = BlockStack(limit: context.index.count)
  }

  /// From everything marked as reached, along pointers to starts; marks as possible what interior pointers lead to.
  mutating func spreadReached() { _ = spreadReached { _ in [] } }

  /// The same, with blocks that are still unread handed to `read`, which returns the blocks it finds to be reached, or nil
  /// to give up; whether it did not.
  mutating func spreadReached(reading read: (Int) -> [UInt32]?) -> Bool {
    for block in 0..<context.index.count where states[block].contains(.reached) { stack.push(block) }
    while let block = stack.pop() {
      if states[block].contains(.unread) {
        guard let reached = read(block) else {
          stack.removeAll()
          return false
        }
        for target in reached { stack.push(Int(target)) }
      }
      reach(context.index.parent(block))
      context.edges.forEachEdge(of: block) { edge in
        if states[edge.target].contains(.reached) { return }
        if context.isStart(edge.offset, of: edge.target) {
          reach(edge.target)
        } else if context.options.acceptsInteriorPointers {
          set(.possible, edge.target)
        }
      }
    }
    return true
  }

  private mutating func reach(_ block: Int) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    set(.reached, block)
    stack.push(block)
  }

  /// From everything that only an interpreter's heap refers to, one heap after another.
  mutating func spreadHeld() {
    for number in 0..<context.roots.holders.count {
      let holder = UInt16(number + 1)
      // What an earlier heap reached belongs to that one.
      for block in 0..<context.index.count where context.holders[block].load(ordering: .relaxed) == holder {
        if !states[block].contains(.reached) { stack.push(block) }
      }
      while let block = stack.pop() {
        hold(context.index.parent(block), holder)
        context.edges.forEachEdge(of: block) { edge in
          if states[edge.target].contains(.reached) { return }
          if context.isStart(edge.offset, of: edge.target) {
            hold(edge.target, holder)
          } else if context.options.acceptsInteriorPointers {
            set(.possible, edge.target)
          }
        }
      }
    }
  }

  private mutating func hold(_ block: Int, _ holder: UInt16) {
    guard block >= 0, !states[block].contains(.reached) else { return }
    let known = context.holders[block].load(ordering: .relaxed)
    guard known == 0 || known > holder else { return }
    context.holders[block].store(holder, ordering: .relaxed)
    set(.held, block)
    stack.push(block)
  }

  /// From everything that only interior pointers lead to, along all pointers.
  mutating func spreadPossible() {
    for block in 0..<context.index.count {
      let state = states[block]
      if state.contains(.possible) && state.isDisjoint(with: [.reached, .held]) { stack.push(block) }
    }
    while let block = stack.pop() {
      suspect(context.index.parent(block))
      context.edges.forEachEdge(of: block) { if counts($0) { suspect($0.target) } }
    }
  }

  private mutating func suspect(_ block: Int) {
    guard block >= 0, states[block].isDisjoint(with: [.reached, .held, .possible]) else { return }
    set(.possible, block)
    stack.push(block)
  }

  /// Sorts what is left into blocks that nothing leads to and those that depend on them.
  ///
  /// memcheck's way: each block not yet claimed leads a clique of all it leads to; it also takes over leaders found so far.
  /// In ascending order of address, so that the lowest block of a cycle leads it.
  mutating func formCliques(_ keeps: CliqueSizes) {
    for leader in 0..<context.index.count where isLost(leader) {
      stack.push(leader)
      while let block = stack.pop() {
        claim(context.index.parent(block), leader, keeps)
        context.edges.forEachEdge(of: block) { if counts($0) { claim($0.target, leader, keeps) } }
      }
    }
  }

  private mutating func claim(_ block: Int, _ leader: Int, _ keeps: CliqueSizes) {
    guard block >= 0, block != leader, isLost(block) else { return }
    keeps.add(keeps[block], to: leader)
    keeps.add((context.index.size(block), 1), to: leader)
    keeps.clear(block)
    set(.indirect, block)
    stack.push(block)
  }

  /// Neither reached in any way nor claimed.
  private func isLost(_ block: Int) -> Bool {
    states[block].isDisjoint(with: [.reached, .held, .possible, .indirect])
  }

  @inline(__always)
  private func counts(_ edge: Edge) -> Bool {
    context.options.acceptsInteriorPointers || context.isStart(edge.offset, of: edge.target)
  }

  @inline(__always)
  private func set(_ state: BlockState, _ block: Int) { states.set(block, states[block].union(state)) }
}

/// What the leaders of cliques keep: bytes and blocks. Pages of it that no leader uses are never touched.
final class CliqueSizes: @unchecked Sendable {
  private let byteMemory: PageMemory
  private let countMemory: PageMemory
  private let bytes: UnsafeMutablePointer<UInt64>
  private let counts: UnsafeMutablePointer<UInt32>

  init(blocks: Int) {
    byteMemory = PageMemory(of: UInt64.self, count: blocks)
    countMemory = PageMemory(of: UInt32.self, count: blocks)
    bytes = byteMemory.elements(of: UInt64.self)
    counts = countMemory.elements(of: UInt32.self)
  }

  subscript(block: Int) -> (bytes: UInt64, count: UInt32) { (bytes[block], counts[block]) }

  func add(_ size: (bytes: UInt64, count: UInt32), to block: Int) {
    if size.count == 0 { return }
    bytes[block] &+= size.bytes
    counts[block] &+= size.count
  }

  func clear(_ block: Int) {
    if counts[block] == 0 { return }
    bytes[block] = 0
    counts[block] = 0
  }
}

/// A stack of block numbers, in memory that is touched only as far as it grows.
private struct BlockStack {
  private let memory: PageMemory
  private let elements: UnsafeMutablePointer<UInt32>
  private var count = 0

  /// - Parameter limit: the most it will hold.
  init(limit: Int) {
    memory = PageMemory(of: UInt32.self, count: limit)
    elements = memory.elements(of: UInt32.self)
  }

  @inline(__always)
  mutating func push(_ block: Int) {
    elements[count] = UInt32(truncatingIfNeeded: block)
    count &+= 1
  }

  @inline(__always)
  mutating func pop() -> Int? {
    guard count > 0 else { return nil }
    count &-= 1
    return Int(elements[count])
  }

  mutating func removeAll() { count = 0 }
}
