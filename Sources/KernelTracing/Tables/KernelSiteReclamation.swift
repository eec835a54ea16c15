import Accounting
import CTraceABI
import TraceModel

/// Decides which sites of the kernel are given back, and keeps what they had allocated.
struct KernelSiteReclamation {
  /// What sites that were given back had allocated; all of it was freed.
  private(set) var retired = Tally()
  private var reclamation = SiteReclamation<lt_kernel_site>(interval: 1_000_000_000, synchronizes: false)

  /// Runs at most once per second. Ignored sites stay, and so do those for whose call stacks user space has asked.
  mutating func run(tables: KernelTables, capacity: Int, now: UInt64) {
    var retired = Tally()
    reclamation.run(
      sites: tables.sites, stacks: tables.stacks, capacity: capacity, now: now,
      isKept: { $0.isIgnored || $0.wantsStacks },
      retire: { retired += Tally(bytes: $0.allocated_bytes, count: $0.allocated_count) })
    self.retired += retired
  }
}
