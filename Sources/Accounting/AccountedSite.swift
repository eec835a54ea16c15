import CTraceABI

/// What the sites of programs and of the kernel have in common, as the BPF programs keep them.
///
/// Its key must be its first word, which tables change in place.
// Names are those of the C structures, whose fields fulfil the requirements.
// swift-format-ignore: AlwaysUseLowerCamelCase
package protocol AccountedSite {
  init()
  /// Mixed from everything that identifies the site; odd while programs find it, 0 when the place is free.
  var key: UInt64 { get set }
  /// Key in the tables of stacks; 0 when no stack was taken.
  var stack_hash: UInt64 { get set }
  var allocated_bytes: UInt64 { get set }
  var allocated_count: UInt64 { get set }
  var freed_bytes: UInt64 { get set }
  var freed_count: UInt64 { get set }
  /// Whether the fields that identify it are complete.
  var isReady: Bool { get }
}

extension lt_site: AccountedSite {
  package var phase: lt_site_state { lt_site_state(rawValue: state & 0xff) }

  package var isReady: Bool { phase != LT_SITE_EMPTY }

  /// The thread whose site it is; nil when sites are of all threads.
  package var threadID: Int32? {
    let thread = state >> UInt32(LT_SITE_THREAD_SHIFT)
    return thread == 0 ? nil : Int32(thread)
  }
}

extension lt_kernel_site: AccountedSite {
  package var isReady: Bool { is_ready != 0 }
}

/// A site's totals as the kernel has them at this moment.
package struct SiteRecord<Site: AccountedSite> {
  /// Its place in the table, by which blocks know it.
  package var index: Int
  package var site: Site

  package init(index: Int, site: Site) {
    self.index = index
    self.site = site
  }

  package var outstandingBytes: UInt64 { site.allocated_bytes - site.freed_bytes }
  package var outstandingCount: UInt64 { site.allocated_count - site.freed_count }
  /// Stays the same as long as the place in the table is this site's; hiding a site clears the lowest bit of its key.
  package var identity: UInt64 { site.key | 1 }
}
