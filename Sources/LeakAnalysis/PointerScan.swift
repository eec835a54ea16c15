import ProcessImage
import TraceModel

/// Finds out which blocks a process can still reach, the way memcheck does, from outside.
///
/// One linear pass over roots and blocks notes every pointer to a block (`read`, while the process is stopped); a flood fill
/// over what was noted gives every block its kind (`classify`, when it runs again).
///
/// Blocks may lie inside of others (a pool's in the memory it takes them from). Such memory belongs to the innermost
/// block, and whoever reaches a block also reaches the block it lies in.
package final class PointerScan {
  package let options: ScanOptions

  /// Sorts and indexes the blocks; their tags are their positions in the array.
  package convenience init(blocks: [LeakBlock], options: ScanOptions = ScanOptions()) {
    var collector = BlockCollector(capacity: blocks.count)
    for (position, block) in blocks.enumerated() {
      collector.append(block, tag: UInt32(position))
    }
    self.init(blocks: collector, options: options)
  }

  /// Sorts and indexes the blocks. Fit for the time while the process is stopped.
  package init(blocks: consuming BlockCollector, options: ScanOptions = ScanOptions()) {
    self.options = options
  }

  /// Searches roots and blocks for pointers to blocks, with `options.threads` threads.
  ///
  /// When it returns incomplete because the deadline has passed, calling it again with the same roots goes on where it
  /// stopped; what the process wrote in the meantime to memory already searched is not seen.
  ///
  /// - Parameters:
  ///   - roots: ranges of memory, whole mappings as a rule: what blocks lie in them is left out here. Where roots overlap,
  ///     memory belongs to the first in the array. Roots of kinds that `options.roots` leaves out are passed over, but
  ///     keep their memory from later ones.
  ///   - values: single words, such as registers.
  ///   - mappings: the process's mappings, to tell tables of virtual functions (for the heuristic of multiple inheritance).
  ///   - deadline: when to stop.
  package func read(
    roots: [Root], values: [RootValue] = [], mappings: [Mapping] = [], memory: some ScannableMemory,
    deadline: ContinuousClock.Instant? = nil
  ) -> ReadOutcome {
    preconditionFailure("next commit")
  }

  /// Gives every block its kind by what has been read. Needs no memory of the process.
  package func classify() -> Reachability {
    preconditionFailure("next commit")
  }
}
