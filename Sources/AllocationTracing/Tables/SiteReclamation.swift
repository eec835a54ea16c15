import BPFRuntime
import CTraceABI
import TraceModel

/// Gives sites and stacks back that no outstanding block refers to, so that a long trace of a program with many
/// different stacks does not fill the tables.
///
/// In two steps, because a program may be about to add to a site that it has just found: first the site's key is
/// changed so that no program finds it any more, and only when those that could have found it before have ended, it is
/// emptied. A stack that comes again meanwhile gets a new site; sites of one stack are added up in reports.
struct SiteReclamation {
  /// Sites that programs no longer find, and when that began (CLOCK_MONOTONIC nanoseconds).
  private var retiring: [(index: Int, since: UInt64)] = []
  private var lastRun: UInt64 = 0

  /// Far longer than a program runs: for kernels that do not let us wait for the end of those that run now.
  private static let grace: UInt64 = 1_000_000_000
  /// Short, because a compiler comes to thousands of new stacks in a second.
  private static let interval: UInt64 = 200_000_000

  /// Runs at most five times per second.
  ///
  /// - Parameters:
  ///   - isKept: whether a site must stay, because user space keeps something under its index.
  ///   - retire: given what a site allocated, all of which was freed, when it is emptied.
  mutating func run(
    tables: TraceTables, capacity: Int, now: UInt64, isKept: (lt_site, Int) -> Bool,
    retire: (lt_site) -> Void
  ) {
    guard now &- lastRun >= Self.interval else { return }
    lastRun = now
    finish(tables: tables, now: now, retire: retire)
    guard retiring.isEmpty, tables.usedSites > capacity / 2 else { return }
    for record in tables.readSites() {
      let site = record.site
      guard site.allocated_count == site.freed_count, site.allocated_count > 0,
        !isKept(site, record.index), tables.hideSite(record.index)
      else { continue }
      retiring.append((record.index, now))
    }
    guard !retiring.isEmpty, synchronizeWithPrograms() else { return }
    finish(tables: tables, now: .max, retire: retire)
  }

  private mutating func finish(tables: TraceTables, now: UInt64, retire: (lt_site) -> Void) {
    var rest: [(index: Int, since: UInt64)] = []
    var emptied: Set<UInt64> = []
    for entry in retiring {
      guard now - entry.since >= Self.grace else {
        rest.append(entry)
        continue
      }
      let site = tables.site(at: entry.index)
      if site.allocated_count == site.freed_count {
        retire(site)
        emptied.insert(site.stack_hash)
        tables.emptySite(entry.index)
      } else {
        tables.showSite(entry.index)
      }
    }
    retiring = rest
    tables.removeStacks(emptied)
  }
}
