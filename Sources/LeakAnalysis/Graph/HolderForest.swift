import Synchronization

/// From where each block was first reached: a block before it, or a root. Four bytes a block, filled in while blocks are
/// marked, so that paths to all blocks can be added up afterwards.
final class HolderForest: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt32>>
  private let memory: PageMemory
  private let count: Int

  /// Upper bits of a word: what the lower ones number.
  private static let root: UInt32 = 1 << 31
  private static let value: UInt32 = 1 << 30
  private static let numbers = value - 1

  init(blocks: Int) {
    count = blocks
    memory = PageMemory(of: UInt32.self, count: blocks, isDense: true)
    words = memory.elements(of: Atomic<UInt32>.self)
  }

  enum Source: Equatable {
    case nothing
    case block(Int)
    case root(Int)
    case value(Int)
  }

  subscript(block: Int) -> Source {
    guard block >= 0, block < count else { return .nothing }
    let word = words[block].load(ordering: .relaxed)
    let number = Int(word & Self.numbers)
    if word & Self.root != 0 { return word & Self.value != 0 ? .value(number) : .root(number) }
    return word == 0 ? .nothing : .block(number - 1)
  }

  @inline(__always)
  func note(_ block: Int, from source: Int) {
    words[block].store(UInt32(truncatingIfNeeded: source &+ 1), ordering: .relaxed)
  }

  /// - Parameter place: of the root, or of the value, in the array that was given for the search.
  func note(_ block: Int, fromRoot place: UInt32, isValue: Bool) {
    words[block].store(Self.root | (isValue ? Self.value : 0) | min(place, Self.numbers), ordering: .relaxed)
  }
}

/// Which holders are asked first: the paths that begin with a variable say more than those that begin where anything may be
/// left over, and both may lead to the same blocks.
enum HolderStrength: Int, CaseIterable {
  case variables, memory, stacks, registers

  init(_ kind: RootKind) {
    switch kind {
    case .globals, .threadLocal, .interpreterHeap: self = .variables
    case .anonymous, .unknownHeap, .kernel: self = .memory
    case .stack: self = .stacks
    case .registers: self = .registers
    }
  }
}
