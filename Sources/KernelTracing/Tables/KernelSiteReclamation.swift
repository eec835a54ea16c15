import Accounting
import CTraceABI
import TraceModel

/// Which sites of the kernel are given back, and what they had allocated.
struct KernelSiteReclamation {
  /// What sites that are gone allocated, all of which was freed.
  private(set) var retired = Tally()
  private var reclamation = SiteReclamation<lt_kernel_site>(interval: 1_000_000_000, synchronizes: false)

  /// Runs at most once per second. Sites that user space asked for stacks of stay.
  mutating func run(tables: KernelTables, capacity: Int, now: UInt64) {
    var retired = Tally()
    reclamation.run(
      sites: tables.sites, stacks: tables.stacks, capacity: capacity, now: now,
      isKept: { $0.isIgnored || $0.wantsStacks },
      retire: { retired += Tally(bytes: $0.allocated_bytes, count: $0.allocated_count) })
    self.retired += retired
  }
}
