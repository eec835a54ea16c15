import BPFRuntime
import CTraceABI

/// The tables that the programs keep in the kernel, read through shared memory.
final class KernelTables {
  private let blocks: BPFMap
  private let sites: MappedArray
  private let caches: BPFMap
  private let stacks: [BPFMap]
  private let endedCommands: BPFMap
  private let counters: BPFMap
  let siteCount: Int
  private let bucketCount: Int
  private var knownStacks: [UInt64: [UInt64]] = [:]

  struct SiteRecord {
    var index: Int
    var site: lt_kernel_site
    var outstandingBytes: UInt64 { site.allocated_bytes - site.freed_bytes }
    var outstandingCount: UInt64 { site.allocated_count - site.freed_count }
    var isIgnored: Bool { site.flags & UInt32(LT_KERNEL_SITE_IGNORED.rawValue) != 0 }
    var isLeftOut: Bool { site.flags & UInt32(LT_KERNEL_SITE_RECLAIMABLE.rawValue) != 0 }
    var wantsStacks: Bool { site.flags & UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue) != 0 }
    /// Stays the same as long as the place in the table is this site's; hiding a site clears the lowest bit of its key.
    var identity: UInt64 { site.key | 1 }
  }

  struct BlockRecord {
    var site: Int
    var sizeInBytes: UInt64
    var address: UInt64
    /// CLOCK_MONOTONIC nanoseconds, to about a millisecond.
    var time: UInt64
    /// 0 when an interrupt asked for it.
    var processID: Int32
  }

  init(object: BPFObject, bucketCount: Int, siteCount: Int) throws(BPFError) {
    blocks = try object.map("blocks")
    sites = try object.map("sites").memoryMapped()
    caches = try object.map("caches")
    stacks = [try object.map("short_stacks"), try object.map("stacks")]
    endedCommands = try object.map("ended_commands")
    counters = try object.map("counters")
    self.bucketCount = bucketCount
    self.siteCount = siteCount
  }

  private var table: UnsafeMutableBufferPointer<lt_kernel_site> {
    sites.bytes.bindMemory(to: lt_kernel_site.self)
  }

  // MARK: Sites

  /// Every site in use. Frees are read before allocations, so that no site seems to have freed more than it allocated.
  func readSites() -> [SiteRecord] {
    let table = table
    var result: [SiteRecord] = []
    for index in 0..<siteCount where table[index].key != 0 && table[index].is_ready != 0 {
      result.append(SiteRecord(index: index, site: site(at: index)))
    }
    return result
  }

  func site(at index: Int) -> lt_kernel_site {
    let table = table
    var site = table[index]
    site.freed_bytes = table[index].freed_bytes
    site.freed_count = table[index].freed_count
    site.allocated_bytes = max(table[index].allocated_bytes, site.freed_bytes)
    site.allocated_count = max(table[index].allocated_count, site.freed_count)
    return site
  }

  /// The table itself; tests write to it.
  var writableSites: UnsafeMutableBufferPointer<lt_kernel_site> {
    UnsafeMutableBufferPointer(rebasing: table[..<siteCount])
  }

  /// Places of the table that are taken.
  var usedSites: Int { table[..<siteCount].count { $0.key != 0 } }

  /// Asks for call stacks of what a site allocates from now on, or no longer.
  func setWantsStacks(_ wanted: Bool, ofSite index: Int) {
    let site = table.baseAddress! + index
    let flag = UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue)
    ctrace_store_32(&site.pointee.flags, wanted ? site.pointee.flags | flag : site.pointee.flags & ~flag)
  }

  /// Records no more blocks of a site, as if its cache were one that the kernel takes back.
  func leaveOut(site index: Int) {
    let site = table.baseAddress! + index
    ctrace_store_32(&site.pointee.flags, site.pointee.flags | UInt32(LT_KERNEL_SITE_RECLAIMABLE.rawValue))
  }

  /// Hides a site from the programs, which will make a new one for what comes. Returns whether it was there.
  func hideSite(_ index: Int) -> Bool {
    let site = table.baseAddress! + index
    let key = site.pointee.key
    return key & 1 == 1 && ctrace_compare_exchange(&site.pointee.key, key, key & ~1)
  }

  func showSite(_ index: Int) {
    let site = table.baseAddress! + index
    _ = ctrace_compare_exchange(&site.pointee.key, site.pointee.key, site.pointee.key | 1)
  }

  /// Makes room: everything but the key first, which is what says that the place is free.
  func emptySite(_ index: Int) {
    let site = table.baseAddress! + index
    let key = site.pointee.key
    var empty = lt_kernel_site()
    empty.key = key
    site.pointee = empty
    _ = ctrace_compare_exchange(&site.pointee.key, key, 0)
  }

  // MARK: What sites refer to

  /// Name of a cache by its address. Read anew each time: another one may have taken its place.
  func cacheName(_ address: UInt64) -> String? {
    guard let entry = caches.value(lt_kernel_cache.self, for: address) else { return nil }
    let name = withUnsafeBytes(of: entry.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return name.isEmpty ? nil : name
  }

  /// Frames, leaf first; empty when they could not be stored.
  func stack(hash: UInt64) -> [UInt64] {
    if let known = knownStacks[hash] { return known }
    for map in stacks {
      guard let words = map.words(for: hash), let head = words.first else { continue }
      let frames = Array(words.dropFirst().prefix(Int(UInt32(truncatingIfNeeded: head))))
      knownStacks[hash] = frames
      return frames
    }
    return []
  }

  func removeStacks(_ hashes: Set<UInt64>) {
    for hash in hashes {
      for map in stacks { map.remove(hash) }
      knownStacks[hash] = nil
    }
  }

  /// The command name that a process had when it ended.
  func endedCommand(of processID: Int32) -> String? {
    guard let words = endedCommands.words(for: UInt32(bitPattern: processID)) else { return nil }
    return words.withUnsafeBytes { String(decoding: $0.prefix(16).prefix { $0 != 0 }, as: UTF8.self) }
  }

  func counterValues() -> [UInt64] { counters.sumOverCPUs() }

  // MARK: Blocks

  /// Calls `body` for every outstanding block. Blocks come and go meanwhile; each is read whole or not at all.
  func forEachBlock(_ body: (BlockRecord) -> Void) throws(BPFError) {
    let size = MemoryLayout<lt_block_bucket>.size
    let processMask = (UInt64(1) << UInt64(LT_KERNEL_PROCESS_BITS)) - 1
    let addressMask = (UInt64(1) << UInt64(LT_KERNEL_KEY_ADDRESS_BITS)) - 1
    let percpu = UInt64(LT_KERNEL_PERCPU.rawValue)
    var remaining = bucketCount
    // A multiple of both the page and the bucket: 3 MiB.
    try blocks.forEachWindow(ofSize: 3 << 20) { window in
      let count = min(remaining, window.count / size)
      remaining -= count
      for index in 0..<count {
        let bucket = window.baseAddress! + index * size
        let keys = bucket.assumingMemoryBound(to: UInt64.self)
        let payloads = (bucket + 8 * Int(LT_BUCKET_ENTRIES)).assumingMemoryBound(to: lt_block_payload.self)
        for entry in 0..<Int(LT_BUCKET_ENTRIES) {
          let key = keys[entry]
          guard key > LT_BLOCK_BUSY else { continue }
          let payload = payloads[entry]
          guard keys[entry] == key else { continue }
          // Per-CPU pointers are offsets; what is above the bits of all others is set in the kernel.
          let isOffset = key >> UInt64(LT_KERNEL_KEY_ADDRESS_BITS) & 7 == percpu
          body(
            BlockRecord(
              site: Int(payload.size_and_site & (UInt64(LT_MAX_SITES) - 1)),
              sizeInBytes: payload.size_and_site >> UInt64(LT_SITE_BITS),
              address: isOffset ? key & addressMask : key & addressMask | ~addressMask,
              time: (payload.time >> UInt64(LT_KERNEL_PROCESS_BITS)) << UInt64(LT_KERNEL_TIME_UNIT_SHIFT),
              processID: Int32(truncatingIfNeeded: payload.time & processMask)))
        }
      }
    }
  }
}
