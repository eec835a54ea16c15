import Synchronization

/// What a scan has found out about a block.
struct BlockState: OptionSet {
  let rawValue: UInt16

  /// Reached from a root by pointers to starts.
  static let reached = BlockState(rawValue: 1)
  /// The same, but only from an interpreter's heap.
  static let held = BlockState(rawValue: 2)
  /// Reached in some way.
  static let possible = BlockState(rawValue: 4)
  /// A lost block that another lost block leads to.
  static let indirect = BlockState(rawValue: 8)

  /// A pointer to its second word counts as one to its start.
  static let secondWord = BlockState(rawValue: 16)
  /// The same for its fourth word.
  static let fourthWord = BlockState(rawValue: 32)
  /// Some words in it count as its start, because they and its first word point to tables of virtual functions.
  static let bases = BlockState(rawValue: 64)
  /// More words count as its start than were noted, so that every word does.
  static let manyBases = BlockState(rawValue: 128)

  /// Any pointer into it counts as one to its start.
  static let anyPointer = BlockState(rawValue: 1024)

  /// The pointers in it were not noted, because there was no memory for them.
  static let unread = BlockState(rawValue: 256)
  /// The pointers in it are being read again.
  static let rereading = BlockState(rawValue: 512)
}

/// The states of all blocks, which several threads may add to.
struct BlockStates: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt16>>

  /// - Parameter memory: zeroed, two bytes for each block.
  init(_ memory: PageMemory) { words = memory.elements(of: Atomic<UInt16>.self) }

  @inline(__always)
  subscript(block: Int) -> BlockState { BlockState(rawValue: words[block].load(ordering: .relaxed)) }

  /// Adds to a block's state, whatever other threads do; whether anything is new.
  @inline(__always) @discardableResult
  func add(_ state: BlockState, to block: Int) -> Bool {
    // Most blocks have the state already, and a locked operation costs as much as several loads from the cache.
    if self[block].isSuperset(of: state) { return false }
    let old = words[block].bitwiseOr(state.rawValue, ordering: .relaxed).oldValue
    return !BlockState(rawValue: old).isSuperset(of: state)
  }

  /// Sets a block's state while no other thread works on it.
  @inline(__always)
  func set(_ block: Int, _ state: BlockState) { words[block].store(state.rawValue, ordering: .relaxed) }
}
