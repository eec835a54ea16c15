/// One step on the path from a root to a block: a word in memory (or a register) and the pointer in it.
package struct ExplanationStep: Hashable, Sendable {
  /// What holds the pointer.
  package var holder: Holder
  /// The pointer itself; nil where a pointer into the middle of a block is known, but not its exact value.
  package var pointer: UInt64?
  /// The block that the pointer leads to.
  package var target: LeakBlock
  /// How the pointer counts.
  package var link: Link

  package enum Holder: Hashable, Sendable {
    /// A word of a root, at an address that can be symbolized.
    case root(Root, address: UInt64)
    /// A register, or a pointer that the kernel holds.
    case value(RootValue)
    /// A word inside of a block, `offset` bytes from its start.
    case block(LeakBlock, offset: UInt64)
    /// The target holds this block, which was carved from it.
    case carved(LeakBlock)
  }

  package enum Link: Hashable, Sendable {
    case start
    /// Into the middle, but a heuristic takes it for a pointer to the start.
    case heuristic
    case interior
  }

  package init(holder: Holder, pointer: UInt64?, target: LeakBlock, link: Link) {
    self.holder = holder
    self.pointer = pointer
    self.target = target
    self.link = link
  }
}
