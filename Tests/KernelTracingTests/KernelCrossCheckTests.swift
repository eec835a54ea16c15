import CTraceABI
import KernelStatistics
import Testing
import TraceModel

@testable import KernelTracing

@Suite struct KernelCrossCheckTests {
  /// `active` objects of a cache of 128 bytes, 32 a slab.
  private func memory(active: UInt64, unaccounted: UInt64 = 0, unreclaimable: UInt64 = 0) -> KernelMemory {
    let slabs = active / 32 + 1
    let meminfo = """
      MemTotal: \(1_000_000 + unaccounted) kB
      MemFree: 900000 kB
      SUnreclaim: \(unreclaimable) kB
      AnonPages: \(100_000 - unreclaimable) kB
      """
    return KernelMemory(
      meminfo: meminfo,
      slab: SlabCaches(
        slabinfo: "epi \(active) \(slabs * 32) 128 32 1 : tunables 0 0 0 : slabdata \(slabs) \(slabs) 0\n",
        links: [("epi", ":0000128"), ("pid", ":0000128")]),
      vmallocinfo: "")
  }

  private func draft(
    outstanding: UInt64, freed: UInt64 = 0, reused: UInt64 = 0, cache: String? = "pid",
    class allocationClass: lt_kernel_class = LT_KERNEL_SLAB
  ) -> KernelSiteDraft {
    var site = lt_kernel_site()
    site.key = 1
    site.`class` = allocationClass.rawValue
    site.allocated_count = outstanding + freed
    site.allocated_bytes = (outstanding + freed) * 128
    site.freed_count = freed
    site.freed_bytes = freed * 128
    site.reused_count = reused
    var draft = KernelSiteDraft(KernelTables.SiteRecord(index: 0, site: site))
    draft.cacheName = cache
    return draft
  }

  private func check(
    _ before: KernelMemory, _ after: KernelMemory, _ drafts: [KernelSiteDraft],
    sources: Set<KernelSource> = [.slab, .vmalloc, .percpu], isWhole: Bool = true
  ) -> KernelCrossCheck {
    var check = KernelCrossCheck(before: before, after: after, sources: sources, isWhole: isWhole)
    check.add(drafts)
    return check
  }

  // MARK: Doubts

  @Test func aLeakThatTheKernelCountsTooIsNotDoubted() {
    let leak = draft(outstanding: 10_000)
    #expect(check(memory(active: 500), memory(active: 10_600), [leak]).doubt(about: leak) == nil)
  }

  @Test func whatTheKernelDoesNotCountIsDoubted() throws {
    let phantom = draft(outstanding: 10_000)
    let doubt = try #require(check(memory(active: 500), memory(active: 700), [phantom]).doubt(about: phantom))
    #expect(doubt.contains("only 200 more active objects in epi"))
    #expect(doubt.contains("10,000"))
  }

  /// The kernel's count is off by some slabs.
  @Test func aFewBlocksAreNotDoubted() {
    let few = draft(outstanding: 300)
    #expect(check(memory(active: 500), memory(active: 450), [few]).doubt(about: few) == nil)
  }

  /// Most frees of the site were noticed only by the address's next use.
  @Test func unseenFreesAreDoubted() throws {
    let site = draft(outstanding: 651, freed: 161, reused: 161)
    let doubt = try #require(check(memory(active: 500), memory(active: 550), [site]).doubt(about: site))
    #expect(doubt.contains("161 of the 161"))
  }

  /// The same, and the kernel counts as many objects more: a leak.
  @Test func unseenFreesBesideALeak() {
    let site = draft(outstanding: 6510, freed: 161, reused: 161)
    #expect(check(memory(active: 500), memory(active: 7000), [site]).doubt(about: site) == nil)
  }

  // MARK: Doubt is of one site

  /// A leak in a cache from which another caller's blocks are freed unseen all the time.
  @Test func aLeakIsNotDoubtedForOthers() {
    let leak = draft(outstanding: 3000)
    let churn = draft(outstanding: 5000, freed: 20_000, reused: 19_000)
    let check = check(memory(active: 500), memory(active: 3700), [leak, churn])
    #expect(check.doubt(about: leak) == nil)
    #expect(check.doubt(about: churn)?.contains("19,000 of the 20,000") == true)
    // A stray free that was missed changes nothing.
    let missed = draft(outstanding: 3000, freed: 1, reused: 1)
    let again = self.check(memory(active: 500), memory(active: 3700), [missed, churn])
    #expect(again.doubt(about: missed) == nil)
  }

  /// Where no address has come back nobody knows whose blocks were freed: both are doubted.
  @Test func withoutReuseNobodyKnowsWhose() {
    let (one, other) = (draft(outstanding: 3000), draft(outstanding: 5000))
    let check = check(memory(active: 500), memory(active: 3700), [one, other])
    #expect(check.doubt(about: one) != nil)
    #expect(check.doubt(about: other) != nil)
  }

  /// The kernel does not count as many objects more as the site holds: whatever others do, it is no leak of that size.
  @Test func whatTheKernelDoesNotCountIsDoubtedBesideOthers() {
    let phantom = draft(outstanding: 5000)
    let churn = draft(outstanding: 500, freed: 20_000, reused: 19_000)
    #expect(check(memory(active: 500), memory(active: 900), [phantom, churn]).doubt(about: phantom) != nil)
  }

  /// However the excess is shared out, most blocks of the largest site are in use.
  @Test func theLargestSiteIsRealBesideAFewUnseen() {
    let (leak, other) = (draft(outstanding: 9000), draft(outstanding: 2000))
    let check = check(memory(active: 500), memory(active: 9600), [leak, other])
    #expect(check.doubt(about: leak) == nil)
  }

  /// Interrupts lose a few frees of every site.
  @Test func fewUnseenFreesAreNotDoubted() {
    let site = draft(outstanding: 200, freed: 1_000_000, reused: 300)
    #expect(check(memory(active: 500), memory(active: 700), [site]).doubt(about: site) == nil)
  }

  /// Without a cache there is nothing to compare with.
  @Test func memoryWithoutCache() {
    let pages = draft(outstanding: 1000, cache: nil, class: LT_KERNEL_VMALLOC)
    #expect(check(memory(active: 1), memory(active: 1), [pages]).doubt(about: pages) == nil)
    let reused = draft(outstanding: 10, freed: 20, reused: 20, cache: nil, class: LT_KERNEL_VMALLOC)
    #expect(check(memory(active: 1), memory(active: 1), [reused]).doubt(about: reused) != nil)
  }

  // MARK: Sums

  @Test func mergedCachesAreOneLine() throws {
    let drafts = [draft(outstanding: 10), draft(outstanding: 5, cache: "epi")]
    let changes = check(memory(active: 100), memory(active: 90), drafts).changes()
    #expect(changes.map(\.name) == ["epi"])
    #expect(changes[0].activeChange == -10)
    #expect(changes[0].traced == Tally(bytes: 15 * 128, count: 15))
  }

  @Test func sharesHaveChangeAndTraced() throws {
    var reclaimable = draft(outstanding: 3, cache: "dentry")
    reclaimable.isReclaimable = true
    let drafts = [draft(outstanding: 10), reclaimable, draft(outstanding: 7, cache: nil, class: LT_KERNEL_PERCPU)]
    let shares = check(
      memory(active: 1), memory(active: 1, unaccounted: 9, unreclaimable: 20), drafts, sources: [.slab, .percpu]
    ).shares()
    func share(_ kind: KernelMemory.Kind) -> KernelMemorySummary.Share? { shares.first { $0.name == kind.rawValue } }
    #expect(share(.unreclaimableSlab)?.change == Int64(20 * 1024))
    #expect(share(.unreclaimableSlab)?.traced == 1280)
    #expect(share(.reclaimableSlab)?.traced == 384)
    #expect(share(.percpu)?.traced == 7 * 128)
    #expect(share(.unaccounted)?.change == Int64(9 * 1024))
    // Not traced at all.
    #expect(share(.vmalloc)?.traced == nil)
    #expect(share(.unaccounted)?.traced == nil)
  }

  // MARK: Findings

  @Test func unaccountedGrowthIsAFinding() throws {
    let check = check(memory(active: 1), memory(active: 1, unaccounted: 50 * 1024), [])
    let finding = try #require(check.findings(tracedPages: Tally()).first)
    #expect(finding.contains("50.0 MiB more"))
    #expect(finding.contains("--pages traces them"))
  }

  @Test func withPagesTheirSumIsSaid() throws {
    let check = check(
      memory(active: 1), memory(active: 1, unaccounted: 50 * 1024), [], sources: [.slab, .pages])
    let finding = try #require(check.findings(tracedPages: Tally(bytes: 48 << 20, count: 9)).first)
    #expect(finding.contains("48.0 MiB are outstanding"))
  }

  @Test func slabGrowthBeyondTheTrace() throws {
    let grown = memory(active: 1, unreclaimable: 30 * 1024)
    let some = draft(outstanding: (10 << 20) / 128)
    let finding = try #require(check(memory(active: 1), grown, [some]).findings(tracedPages: Tally()).first)
    #expect(finding.contains("grew by 30.0 MiB") && finding.contains("accounts for 10.0 MiB"))
    // With a filter the trace is not to account for all.
    #expect(check(memory(active: 1), grown, [some], isWhole: false).findings(tracedPages: Tally()) == [])
    let most = draft(outstanding: (28 << 20) / 128)
    #expect(check(memory(active: 1), grown, [most]).findings(tracedPages: Tally()) == [])
  }

  @Test func smallChangesAreNoFindings() {
    let check = check(memory(active: 1), memory(active: 1, unaccounted: 3 * 1024, unreclaimable: 3 * 1024), [])
    #expect(check.findings(tracedPages: Tally()) == [])
  }

  // MARK: Names

  @Test(
    arguments: [
      (8, 0, "kmalloc-8"), (64, 0xcc0, "kmalloc-64"), (1024, 0xcc0, "kmalloc-1k"), (8192, 0xcc0, "kmalloc-8k"),
      (96, 0x40_0cc0, "kmalloc-cg-96"), (2048, 0xcd0, "kmalloc-rcl-2k"), (512, 0xcc1, "dma-kmalloc-512"),
    ] as [(UInt32, UInt32, String)])
  func kmallocNames(size: UInt32, gfp: UInt32, name: String) {
    #expect(KernelCacheNames.kmallocName(objectSize: size, gfp: gfp) == name)
  }

  @Test func largeBlocksHaveNoCache() {
    #expect(KernelCacheNames.kmallocName(objectSize: 16384, gfp: 0) == nil)
    #expect(KernelCacheNames.kmallocName(objectSize: 0, gfp: 0) == nil)
  }

  @Test func samplesAreScaled() {
    var site = draft(outstanding: 10, freed: 5)
    site.add(
      KernelTables.BlockRecord(site: 0, sizeInBytes: 128, address: 1, time: 1, processID: 9, level: 0), nth: 100,
      now: 5,
      listsBlock: true)
    site.scaleTotals(by: 100)
    #expect(site.sums.outstanding == Tally(bytes: 128_000, count: 1000))
    #expect(site.sums.freed == Tally(bytes: 64_000, count: 500))
    #expect(site.sums.allocated == Tally(bytes: 192_000, count: 1500))
    #expect(site.processes == [9: Tally(bytes: 12_800, count: 100)])
    // Single blocks are what they are.
    #expect(site.sums.blocks.map(\.sizeInBytes) == [128])
  }

  @Test func polledVmallocIsTheDifference() {
    func memory(_ lines: String) -> KernelMemory {
      KernelMemory(meminfo: "", slab: SlabCaches(slabinfo: ""), vmallocinfo: lines)
    }
    let old = "0x1-0x2 8192 driver_open+0x10/0x90 pages=1 vmalloc\n0x3-0x4 8192 gone+0x1/0x2 pages=1 vmalloc\n"
    let new = """
      0x1-0x2 8192 driver_open+0x10/0x90 pages=1 vmalloc
      0x5-0x6 20480 driver_open+0x10/0x90 pages=4 vmalloc
      0x7-0x8 8192 driver_open+0x40/0x90 pages=1 vmalloc
      0x9-0xa 20480 mapper+0x1/0x2 phys=0x0 ioremap
      """
    let sites = KernelTracer.polledVmalloc(before: memory(old), after: memory(new))
    #expect(sites.map(\.outstanding) == [Tally(bytes: 16384, count: 1), Tally(bytes: 4096, count: 1)])
    #expect(sites.map { $0.frames[0].functionOffset } == [0x10, 0x40])
    #expect(sites.allSatisfy { $0.allocationClass == .vmalloc && $0.stack.completeness == .callerOnly })
  }

  @Test func polledSlabIsTheDifference() {
    let sites = KernelTracer.polledSlab(before: memory(active: 10), after: memory(active: 25), wanted: [])
    #expect(sites.map(\.outstanding) == [Tally(bytes: 15 * 128, count: 15)])
    #expect(sites[0].kernel?.aliases == ["pid"])
    #expect(KernelTracer.polledSlab(before: memory(active: 10), after: memory(active: 25), wanted: ["other"]).isEmpty)
    #expect(KernelTracer.polledSlab(before: memory(active: 25), after: memory(active: 10), wanted: []).isEmpty)
  }
}
