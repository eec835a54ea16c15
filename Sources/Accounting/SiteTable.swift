import BPFRuntime
import CTraceABI

/// The table of sites that the BPF programs keep, as shared memory. It is an open hash table, in which bits of a site's key
/// say where to look for it. User space does not look for keys but goes through the whole table.
package final class SiteTable<Site: AccountedSite> {
  private let memory: MappedArray
  /// How many places there are, free ones included.
  package let count: Int

  package init(map: BPFMap, count: Int) throws(BPFError) {
    memory = try map.memoryMapped()
    self.count = count
  }

  private var base: UnsafeMutablePointer<Site> {
    memory.bytes.baseAddress!.assumingMemoryBound(to: Site.self)
  }

  /// The key of a place, as a word that can be changed atomically.
  private func key(at index: Int) -> UnsafeMutablePointer<UInt64> {
    UnsafeMutableRawPointer(base + index).assumingMemoryBound(to: UInt64.self)
  }

  /// The table itself. The programs change it at the same time.
  package var entries: UnsafeMutableBufferPointer<Site> { UnsafeMutableBufferPointer(start: base, count: count) }

  // MARK: Reading

  /// Calls `body` with every place that is taken.
  private func forEachUsed(_ body: (Int) -> Void) {
    // Only the first word is read here: most places are free, and whole sites would be copied for nothing.
    let stride = MemoryLayout<Site>.stride
    var place = UnsafeRawPointer(base)
    for index in 0..<count {
      if place.load(as: UInt64.self) != 0 { body(index) }
      place += stride
    }
  }

  /// A site as it is now. Frees are read before allocations, so that no site seems to have freed more than it allocated.
  package func site(at index: Int) -> Site {
    let place = base + index
    let freedBytes = place.pointee.freed_bytes
    let freedCount = place.pointee.freed_count
    var site = place.pointee
    site.freed_bytes = freedBytes
    site.freed_count = freedCount
    site.allocated_bytes = max(site.allocated_bytes, freedBytes)
    site.allocated_count = max(site.allocated_count, freedCount)
    return site
  }

  /// Calls `body` for every site in use.
  package func forEachSite(_ body: (SiteRecord<Site>) -> Void) {
    forEachUsed { index in
      let site = site(at: index)
      // Its place may have been given back meanwhile.
      if site.key != 0, site.isReady { body(SiteRecord(index: index, site: site)) }
    }
  }

  /// Every site in use.
  package func records() -> [SiteRecord<Site>] {
    var records: [SiteRecord<Site>] = []
    forEachSite { records.append($0) }
    return records
  }

  /// How many places are taken.
  package var usedCount: Int {
    var used = 0
    forEachUsed { _ in used += 1 }
    return used
  }

  /// Those of the given stacks that no site refers to.
  package func unused(_ stackHashes: Set<UInt64>) -> Set<UInt64> {
    guard !stackHashes.isEmpty else { return [] }
    var unused = stackHashes
    forEachUsed { unused.remove((base + $0).pointee.stack_hash) }
    return unused
  }

  // MARK: Giving back

  /// Hides a site from the programs, which find only sites with odd keys. Returns false when it is hidden already.
  package func hide(_ index: Int) -> Bool {
    let word = key(at: index)
    let key = ctrace_load(word)
    return key & 1 == 1 && ctrace_compare_exchange(word, key, key & ~1)
  }

  package func show(_ index: Int) {
    let word = key(at: index)
    let key = ctrace_load(word)
    _ = ctrace_compare_exchange(word, key, key | 1)
  }

  /// Frees a place. Everything but the key is cleared first, because the key is what says that the place is free.
  package func empty(_ index: Int) {
    let word = key(at: index)
    let key = ctrace_load(word)
    var empty = Site()
    empty.key = key
    base[index] = empty
    _ = ctrace_compare_exchange(word, key, 0)
  }

  /// Clears the sites for which `isGone` is true, which no program can change any more. Returns the stacks that they
  /// referred to.
  package func clear(where isGone: (Site) -> Bool) -> Set<UInt64> {
    var stackHashes: Set<UInt64> = []
    forEachUsed { index in
      guard isGone(base[index]) else { return }
      stackHashes.insert(base[index].stack_hash)
      base[index] = Site()
    }
    return stackHashes
  }
}
