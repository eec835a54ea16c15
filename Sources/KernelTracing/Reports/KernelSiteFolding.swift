import Accounting
import CTraceABI
import TraceModel

extension [KernelSiteDraft] {
  /// The same sites, with what a caller allocated before its call stacks were recorded put to the stack that holds nearly all
  /// of what it allocated since: it is one leak, and shown once. Where several stacks hold much, nobody knows whose the older
  /// blocks are, and the caller stays a site of its own.
  func foldedByCaller() -> [KernelSiteDraft] {
    var members: [KernelSiteDraft.Group: (callers: [Int], stacks: [Int])] = [:]
    for (position, draft) in enumerated() where draft.site.call_site != 0 && draft.sums.outstanding.count > 0 {
      if draft.site.stack_hash == 0 {
        members[draft.group, default: ([], [])].callers.append(position)
      } else {
        members[draft.group, default: ([], [])].stacks.append(position)
      }
    }
    var folded = self
    var removed: Set<Int> = []
    for (callers, stacks) in members.values where !callers.isEmpty {
      let whole = stacks.reduce(UInt64(0)) { $0 + self[$1].sums.outstanding.count }
      guard let largest = stacks.max(by: { self[$0].sums.outstanding.count < self[$1].sums.outstanding.count }) else {
        continue
      }
      guard self[largest].sums.outstanding.count >= whole - whole / Self.leastPartBesides else { continue }
      for caller in callers { folded[largest].addEarlier(self[caller]) }
      removed.formUnion(callers)
    }
    return folded.indices.filter { !removed.contains($0) }.map { folded[$0] }
  }

  /// The other stacks of a caller hold less than one in so many of its blocks.
  private static var leastPartBesides: UInt64 { 10 }
}

extension KernelSiteDraft {
  /// Adds what the same caller allocated before its call stacks were recorded.
  mutating func addEarlier(_ caller: KernelSiteDraft) {
    sums.add(caller.sums)
    earlier += caller.sums.outstanding
    for (processID, tally) in caller.processes { processes[processID, default: Tally()] += tally }
    site.reused_count &+= caller.site.reused_count
  }
}
