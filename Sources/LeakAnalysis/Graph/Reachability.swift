import Synchronization
import TraceModel

/// The kind of every block of a scan. Blocks are numbered from 0 in ascending order of address.
package final class Reachability: @unchecked Sendable {
  /// All blocks by kind.
  package let tallies: [VerdictKind: Tally]
  private let table: BlockTable
  let context: ScanContext
  /// The memory that holds the states.
  private let stateMemory: PageMemory
  private let keeps: CliqueSizes
  private let isComplete: Bool
  let roots: [Root]
  let values: [RootValue]
  let sources: [RootPointer]
  /// Where pointers from roots lie that blocks were first reached by, by block, as far as they are kept.
  let rootPlaces: [RootPlace]
  /// Computed when it is asked for first.
  let paths = Mutex<PathSearch?>(nil)

  init(
    table: BlockTable, context: ScanContext, stateMemory: PageMemory, keeps: CliqueSizes, isComplete: Bool,
    roots: [Root], values: [RootValue],
    sources: [RootPointer], rootPlaces: [RootPlace] = []
  ) {
    self.rootPlaces = rootPlaces
    self.table = table
    self.context = context
    self.stateMemory = stateMemory
    self.keeps = keeps
    self.isComplete = isComplete
    self.roots = roots
    self.values = values
    self.sources = sources
    var sums = [Tally](repeating: Tally(), count: VerdictKind.allCases.count)
    for block in 0..<table.count {
      let kind = Self.kind(context.states[block], isComplete: isComplete)
      sums[kind.place] += Tally(bytes: table.index.size(block), count: 1)
    }
    var tallies: [VerdictKind: Tally] = [:]
    for kind in VerdictKind.allCases {
      let sum = sums[kind.place]
      if sum.count > 0 { tallies[kind] = sum }
    }
    self.tallies = tallies
  }

  package var count: Int { table.count }

  /// The block of a number, its time rounded down to units of 2^20 ns, and the tag it was collected with.
  package func block(_ index: Int) -> (block: LeakBlock, tag: UInt32) {
    (table.block(index), table.tag(index))
  }

  /// The kind of the block with a number.
  package func kind(_ index: Int) -> VerdictKind {
    Self.kind(context.states[index], isComplete: isComplete)
  }

  /// The verdict of the block with a number.
  package subscript(index: Int) -> BlockVerdict {
    let kind = kind(index)
    let size = keeps[index]
    let isHeld = isComplete && kind == .stillReachable && !context.states[index].contains(.reached)
    return BlockVerdict(
      kind: kind, keeps: Tally(bytes: size.bytes, count: UInt64(size.count)),
      holder: isHeld ? context.holder(of: index) : nil)
  }

  /// The number of the innermost block that the address is the start of or lies in.
  package func index(ofBlockAt address: UInt64) -> Int? {
    let block = table.index.find(address)
    return block >= 0 ? block : nil
  }

  /// The verdict of a block; nil when it was not part of the scan: another block at its address is not taken for it.
  package func verdict(of block: LeakBlock) -> BlockVerdict? {
    guard var number = table.index.firstBlock(at: block.address) else { return nil }
    let record = BlockRecord(block, tag: 0)
    while number < count, table.index.starts[number] == block.address {
      if table.index.size(number) == record.size, table.tick(number) == record.tick { return self[number] }
      number += 1
    }
    return nil
  }

  private static func kind(_ state: BlockState, isComplete: Bool) -> VerdictKind {
    if !state.isDisjoint(with: [.reached, .held]) { return .stillReachable }
    if !isComplete { return .unchecked }
    if state.contains(.possible) { return .possiblyLost }
    return state.contains(.indirect) ? .indirectlyLost : .definitelyLost
  }
}
