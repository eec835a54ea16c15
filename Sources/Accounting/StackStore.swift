import BPFRuntime
import CTraceABI

/// The call stacks that sites refer to by their hashes. There are two maps, one of which has room for short stacks only.
package final class StackStore {
  private let maps: [BPFMap]
  /// Stacks that were read already: each costs one system call, and a stored stack does not change.
  private var known: [UInt64: StoredStack] = [:]

  /// A stored stack, its frames leaf first.
  package struct StoredStack {
    package var frames: [UInt64]
    /// `enum lt_unwind_outcome` with its flags.
    package var outcome: UInt32

    package init(frames: [UInt64], outcome: UInt32) {
      self.frames = frames
      self.outcome = outcome
    }

    /// The hash as the BPF programs compute it.
    package var hash: UInt64 {
      lt_finish_stack_hash(frames.reduce(UInt64(outcome), lt_hash_frame), UInt32(frames.count))
    }
  }

  /// Takes the maps `short_stacks` and `stacks` of a loaded object.
  package init(object: BPFObject) throws(BPFError) {
    maps = [try object.map("short_stacks"), try object.map("stacks")]
  }

  /// The stack with this hash; nil when it could not be stored.
  package func stack(hash: UInt64) -> StoredStack? {
    if let stack = known[hash] { return stack }
    // Values of both maps begin alike and differ in how many frames they have room for.
    for map in maps {
      guard let words = map.words(for: hash), let head = words.first else { continue }
      let depth = Int(UInt32(truncatingIfNeeded: head))
      let stack = StoredStack(frames: Array(words.dropFirst().prefix(depth)), outcome: UInt32(head >> 32))
      known[hash] = stack
      return stack
    }
    return nil
  }

  /// Stores a stack under its hash. Returns whether it is stored: a full map takes no more.
  package func store(_ stack: StoredStack) -> Bool {
    let hash = stack.hash
    if self.stack(hash: hash) != nil { return true }
    let map = maps[stack.frames.count <= Int(LT_SHORT_STACK_DEPTH) ? 0 : 1]
    var words = [UInt64](repeating: 0, count: map.valueSize / 8)
    words[0] = UInt64(stack.outcome) << 32 | UInt64(stack.frames.count)
    words.replaceSubrange(1..<stack.frames.count + 1, with: stack.frames)
    return map.set(words: words, for: hash)
  }

  package func remove(_ hashes: some Sequence<UInt64>) {
    for hash in hashes {
      for map in maps { map.remove(hash) }
      known[hash] = nil
    }
  }
}
