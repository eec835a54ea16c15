import BPFRuntime

/// Gives back the sites and stacks that no outstanding block refers to, so that a long trace with many different stacks does
/// not fill the tables.
///
/// This takes two steps, because a program may be about to add to a site that it has just found. First the site's key is
/// changed, so that no program finds the site any more. Only when all programs that could have found it before have ended,
/// the site is emptied. A stack that comes again meanwhile gets a new site; reports add up the sites of one stack.
package struct SiteReclamation<Site: AccountedSite> {
  /// Sites that programs no longer find, each with the time since when this is so (CLOCK_MONOTONIC nanoseconds).
  private var retiring: [(index: Int, since: UInt64)] = []
  private var lastRun: UInt64 = 0
  private let interval: UInt64
  private let synchronizes: Bool

  /// How many nanoseconds a site waits on kernels that do not let us wait for the end of running programs. Programs run for
  /// a far shorter time.
  private static var grace: UInt64 { 1_000_000_000 }

  /// - Parameters:
  ///   - interval: how many nanoseconds lie between one run and the next, at least.
  ///   - synchronizes: whether to wait, where the kernel lets us, until the programs that run now have ended, so that places
  ///     are free at once.
  package init(interval: UInt64, synchronizes: Bool) {
    self.interval = interval
    self.synchronizes = synchronizes
  }

  /// Looks for sites to give back if the last time is long enough ago and half of the places are taken.
  ///
  /// - Parameters:
  ///   - capacity: how many sites the table is meant for.
  ///   - now: CLOCK_MONOTONIC nanoseconds.
  ///   - isKept: whether a site must stay, because user space keeps something under its index.
  ///   - retire: called with a site when it is emptied. Everything that it allocated has been freed.
  package mutating func run(
    sites: SiteTable<Site>, stacks: StackStore, capacity: Int, now: UInt64,
    isKept: (SiteRecord<Site>) -> Bool, retire: (Site) -> Void
  ) {
    guard now &- lastRun >= interval else { return }
    lastRun = now
    finish(sites, stacks, now: now, retire: retire)
    guard retiring.isEmpty, sites.usedCount > capacity / 2 else { return }
    for record in sites.records() {
      guard record.outstandingCount == 0, record.site.allocated_count > 0, !isKept(record), sites.hide(record.index)
      else { continue }
      retiring.append((record.index, now))
    }
    guard synchronizes, !retiring.isEmpty, synchronizeWithPrograms() else { return }
    finish(sites, stacks, now: .max, retire: retire)
  }

  private mutating func finish(
    _ sites: SiteTable<Site>, _ stacks: StackStore, now: UInt64, retire: (Site) -> Void
  ) {
    var rest: [(index: Int, since: UInt64)] = []
    var emptied: Set<UInt64> = []
    for entry in retiring {
      guard now - entry.since >= Self.grace else {
        rest.append(entry)
        continue
      }
      let site = sites.site(at: entry.index)
      if site.allocated_count == site.freed_count {
        retire(site)
        if site.stack_hash != 0 { emptied.insert(site.stack_hash) }
        sites.empty(entry.index)
      } else {
        sites.show(entry.index)
      }
    }
    retiring = rest
    stacks.remove(sites.unused(emptied))
  }
}
