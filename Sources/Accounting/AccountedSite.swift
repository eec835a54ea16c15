import CTraceABI

/// What the sites of programs and those of the kernel have in common, in the form in which the BPF programs keep them.
///
/// The key must be the first word, because tables change it in place.
// Names are those of the C structures, whose fields fulfil the requirements.
// swift-format-ignore: AlwaysUseLowerCamelCase
package protocol AccountedSite {
  init()
  /// A mix of everything that identifies the site. It is odd while programs find the site, and 0 when the place is free.
  var key: UInt64 { get set }
  /// Key of its stack in the tables of stacks; 0 when no stack was taken.
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

  /// The thread that the site belongs to; nil when sites are not kept for each thread apart.
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
  /// Its place in the table, by which blocks refer to it.
  package var index: Int
  package var site: Site

  package init(index: Int, site: Site) {
    self.index = index
    self.site = site
  }

  package var outstandingBytes: UInt64 { site.allocated_bytes - site.freed_bytes }
  package var outstandingCount: UInt64 { site.allocated_count - site.freed_count }
  /// Stays the same as long as this site has the place. The lowest bit is always set here, because hiding a site clears it
  /// in the key.
  package var identity: UInt64 { site.key | 1 }
}
