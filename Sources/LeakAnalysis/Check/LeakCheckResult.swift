import ProcessImage
import TraceModel

/// What a check found out about every block of a process.
package final class LeakCheckResult {
  package let processID: Int32
  package let generation: UInt32
  package internal(set) var summary: LeakCheckSummary
  /// CLOCK_MONOTONIC nanoseconds: what was allocated later has not been checked.
  package let time: UInt64
  /// The searches of this check. A block is lost only if every one of them says so.
  let searches: [Search]

  /// One search of the process's memory.
  struct Search {
    var reachability: Reachability
    /// Traced mappings that are no blocks, by their start.
    var liveMappings: [UInt64: BlockVerdict]
    /// Some thread's registers could not be read: nothing is definitely lost.
    var missesRegisters: Bool
    var stacks: [StackCopy] = []
  }

  /// The process has ended since the check, and no check was made at its end: blocks that were reachable may have
  /// become lost.
  package var isPast = false

  /// Blocks that were written to between searches, by address: they are in use, whatever the searches say.
  let changedBlocks: Set<UInt64>
  /// Blocks allocated later than this cannot be called lost: CLOCK_MONOTONIC nanoseconds.
  let youngestLost: UInt64

  init(
    processID: Int32, generation: UInt32, summary: LeakCheckSummary, time: UInt64, searches: [Search],
    changedBlocks: Set<UInt64> = [], youngestLost: UInt64 = .max
  ) {
    self.processID = processID
    self.generation = generation
    self.summary = summary
    self.time = time
    self.searches = searches
    self.changedBlocks = changedBlocks
    self.youngestLost = youngestLost
  }

  /// The verdict of a heap block; `unchecked` when the check does not know it.
  package func verdict(of block: LeakBlock) -> BlockVerdict {
    guard block.time <= time else { return BlockVerdict(kind: .unchecked) }
    var best: BlockVerdict?
    for search in searches {
      guard var verdict = search.reachability.verdict(of: block) else { return BlockVerdict(kind: .unchecked) }
      if search.missesRegisters, verdict.kind == .definitelyLost || verdict.kind == .indirectlyLost {
        verdict.kind = .possiblyLost
      }
      if best == nil || Self.liveliness(verdict.kind) > Self.liveliness(best!.kind) { best = verdict }
    }
    guard let best else { return BlockVerdict(kind: .unchecked) }
    let isLost = best.kind != .stillReachable
    if isLost, block.time > youngestLost || changedBlocks.contains(block.address) {
      return BlockVerdict(kind: .unchecked)
    }
    return isPast && !isLost ? BlockVerdict(kind: .unchecked) : best
  }

  /// The verdict of a range that the process has mapped itself.
  package func verdict(ofMapping block: LeakBlock) -> BlockVerdict {
    for search in searches {
      if let live = search.liveMappings[block.address] { return live }
    }
    return verdict(of: block)
  }

  /// Ranks verdicts from surely lost to surely in use. Where searches disagree, the higher rank counts: a pointer that one of
  /// them saw was there.
  private static func liveliness(_ kind: VerdictKind) -> Int {
    switch kind {
    case .definitelyLost: 0
    case .indirectlyLost: 1
    case .possiblyLost: 2
    case .unchecked: 3
    case .stillReachable: 4
    }
  }

  /// Says who holds the blocks of sites, given by their tags. Set by whoever can name holders.
  package var describeHolders: ((_ tags: [UInt32]) -> [Holder]?)?

  /// Who keeps the reachable blocks of sites; nil when it is not known, or not any more.
  package func holders(ofSites tags: [UInt32]) -> [Holder]? { isPast ? nil : describeHolders?(tags) }

  /// The paths to reachable blocks added up, by the blocks' tags; see ``Reachability/addUpPaths(_:)``.
  package func addUpPaths(_ number: (PathBeginning) -> Int) -> [UInt32: [PathSum]] {
    searches.last?.reachability.addUpPaths(number) ?? [:]
  }

  /// What leads to memory from before the trace; nil when that memory cannot be read any more.
  package func oldMemoryOwners() -> OldMemoryOwners? {
    guard let last = searches.last, !isPast, let mappings = try? ProcessMaps.read(processID: processID),
      let memory = try? ResidentMemory(processID: processID, mappings: mappings)
    else { return nil }
    return last.reachability.oldMemoryOwners(memory: memory)
  }

  /// Copies of the stacks that the threads stood on.
  package var stacks: [StackCopy] { searches.last?.stacks ?? [] }

  /// The block at an address and how it is reached; nil when no block is there.
  package func explain(address: UInt64) -> (block: LeakBlock, verdict: BlockVerdict, steps: [ExplanationStep]?)? {
    guard let last = searches.last?.reachability, let index = last.index(ofBlockAt: address) else { return nil }
    return (last.block(index).block, last[index], last.explain(address: address))
  }
}
