import CTraceABI
import TraceModel

/// Gives sites and stacks back that no outstanding block refers to, so that a long trace does not fill the tables.
///
/// In two steps, because a program may be about to add to a site that it has just found: first the site's key is
/// changed so that no program finds it any more, and only when those that could have found it before have long ended,
/// it is emptied.
struct KernelSiteReclamation {
  /// What sites that are gone allocated, all of which was freed.
  private(set) var retired = Tally()
  /// Sites that programs no longer find, and when that began (CLOCK_MONOTONIC nanoseconds).
  private var retiring: [(index: Int, since: UInt64)] = []
  private var lastRun: UInt64 = 0

  /// Far longer than a program runs.
  private static let grace: UInt64 = 1_000_000_000

  /// Runs at most once per second. Sites that user space asked for stacks of stay.
  mutating func run(tables: KernelTables, capacity: Int, now: UInt64) {
    guard now &- lastRun >= Self.grace else { return }
    lastRun = now
    finish(tables: tables, now: now)
    guard retiring.isEmpty, tables.usedSites > capacity / 2 else { return }
    for record in tables.readSites() {
      guard record.outstandingCount == 0, record.site.allocated_count > 0, !record.isIgnored, !record.wantsStacks,
        tables.hideSite(record.index)
      else { continue }
      retiring.append((record.index, now))
    }
  }

  private mutating func finish(tables: KernelTables, now: UInt64) {
    var rest: [(index: Int, since: UInt64)] = []
    var hashes: Set<UInt64> = []
    for entry in retiring {
      guard now &- entry.since >= Self.grace else {
        rest.append(entry)
        continue
      }
      let site = tables.site(at: entry.index)
      if site.allocated_count == site.freed_count {
        retired += Tally(bytes: site.allocated_bytes, count: site.allocated_count)
        if site.stack_hash != 0 { hashes.insert(site.stack_hash) }
        tables.emptySite(entry.index)
      } else {
        tables.showSite(entry.index)
      }
    }
    retiring = rest
    guard !hashes.isEmpty else { return }
    // Sites of other caches may have the same stack.
    for record in tables.readSites() { hashes.remove(record.site.stack_hash) }
    tables.removeStacks(hashes)
  }
}
