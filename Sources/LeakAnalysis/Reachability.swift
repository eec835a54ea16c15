import TraceModel

/// The kind of every block of a scan. Blocks are numbered from 0 in ascending order of address.
package struct Reachability {
  package let count: Int
  /// All blocks by kind.
  package let tallies: [VerdictKind: Tally]

  /// The block of a number, with the tag it was collected with.
  package func block(_ index: Int) -> (block: LeakBlock, tag: UInt32) {
    preconditionFailure("next commit")
  }

  /// The verdict of the block with a number.
  package subscript(index: Int) -> BlockVerdict {
    preconditionFailure("next commit")
  }

  /// The number of the innermost block that the address is the start of or lies in.
  package func index(ofBlockAt address: UInt64) -> Int? {
    preconditionFailure("next commit")
  }

  /// The verdict of a block; nil when it was not part of the scan: another block at its address is not taken for it.
  package func verdict(of block: LeakBlock) -> BlockVerdict? {
    preconditionFailure("next commit")
  }

  /// How the block at an address is reached: a root, then every block on the path, the one asked for last. For a lost block
  /// with others pointing to it: its clique's leader, then the path from there. nil when no block lies there, or nothing
  /// points to it. Needs `ScanOptions.retainsSources`.
  package func explain(address: UInt64) -> [ExplanationStep]? {
    preconditionFailure("next commit")
  }
}
