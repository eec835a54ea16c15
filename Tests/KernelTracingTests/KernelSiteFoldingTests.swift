import CTraceABI
import Testing
import TraceModel

@testable import KernelTracing

/// One leak is one line, whenever its call stacks were switched on and whichever child made the object.
@Suite struct KernelSiteFoldingTests {
  private func draft(_ index: Int, caller: UInt64 = 0x1000, stack: UInt64, held: UInt64) -> KernelSiteDraft {
    var site = lt_kernel_site()
    site.key = UInt64(index + 1)
    site.call_site = caller
    site.stack_hash = stack
    site.`class` = LT_KERNEL_SLAB.rawValue
    site.allocated_count = held
    site.allocated_bytes = held * 100
    var draft = KernelSiteDraft(KernelTables.SiteRecord(index: index, site: site))
    draft.processes = [7: Tally(bytes: held * 100, count: held)]
    return draft
  }

  @Test func earlierBlocksJoinTheOneStack() throws {
    let folded = [draft(0, stack: 0, held: 180), draft(1, stack: 9, held: 2630), draft(2, stack: 8, held: 2)]
      .foldedByCaller()
    #expect(folded.map(\.index) == [1, 2])
    let leak = try #require(folded.first)
    #expect(leak.sums.outstanding == Tally(bytes: 281_000, count: 2810))
    #expect(leak.earlier == Tally(bytes: 18_000, count: 180))
    #expect(leak.processes == [7: Tally(bytes: 281_000, count: 2810)])
    #expect(leak.hasWholeCaller)
    #expect(!folded[1].hasWholeCaller)
  }

  /// Whose the older blocks are nobody knows where several stacks hold much.
  @Test func severalStacksLeaveTheCallerAlone() {
    let drafts = [draft(0, stack: 0, held: 180), draft(1, stack: 9, held: 500), draft(2, stack: 8, held: 400)]
    #expect(drafts.foldedByCaller().map(\.sums.outstanding.count) == [180, 500, 400])
    // Another caller's stack is none of this one's.
    let others = [draft(0, stack: 0, held: 180), draft(1, caller: 0x2000, stack: 9, held: 500)]
    #expect(others.foldedByCaller().count == 2)
  }

  @Test func endedChildrenCountToTheProgramThatForkedThem() {
    let ended: [Int32: (command: String, parent: Int32)] = [
      10: ("server", 5), 11: ("server", 10), 12: ("helper", 5), 13: ("server", 1), 14: ("loop", 15), 15: ("loop", 14),
    ]
    let running: [Int32: String] = [5: "server", 20: "server"]
    var owners = KernelOwners(ended: { ended[$0] }, running: { running[$0] })
    #expect(owners.owner(of: 10) == 5)
    #expect(owners.owner(of: 11) == 5)
    // Another program keeps what it asked for, and so does what init took over.
    #expect(owners.owner(of: 12) == 12)
    #expect(owners.owner(of: 13) == 13)
    #expect(owners.owner(of: 20) == 20)
    #expect(owners.owner(of: 99) == 99)
    // Process ids come round: a ring ends.
    #expect([14, 15].contains(owners.owner(of: 14)))
    var processes: [Int32: Tally] = [
      10: Tally(bytes: 10, count: 1), 11: Tally(bytes: 20, count: 2), 0: Tally(bytes: 1, count: 1),
    ]
    owners.regroup(&processes)
    #expect(processes == [5: Tally(bytes: 30, count: 3), 0: Tally(bytes: 1, count: 1)])
  }
}
