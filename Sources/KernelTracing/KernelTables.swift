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
  private var knownCaches: [UInt64: Cache] = [:]

  struct Cache {
    var name: String
    var flags: UInt32
    /// SLAB_RECLAIM_ACCOUNT: its objects are given back when memory is short.
    var isReclaimable: Bool { flags & 0x20000 != 0 }
  }

  struct SiteRecord {
    var index: Int
    var site: lt_kernel_site
    var outstandingBytes: UInt64 { site.allocated_bytes - site.freed_bytes }
    var outstandingCount: UInt64 { site.allocated_count - site.freed_count }
  }

  struct BlockRecord {
    var site: Int
    var sizeInBytes: UInt64
    var address: UInt64
    /// CLOCK_MONOTONIC nanoseconds, to about a millisecond.
    var time: UInt64
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

  /// Every site in use. Frees are read before allocations, so that no site seems to have freed more than it allocated.
  func readSites() -> [SiteRecord] {
    let table = table
    var result: [SiteRecord] = []
    for index in 0..<siteCount where table[index].key != 0 && table[index].is_ready != 0 {
      var site = table[index]
      site.freed_bytes = table[index].freed_bytes
      site.freed_count = table[index].freed_count
      site.allocated_bytes = max(table[index].allocated_bytes, site.freed_bytes)
      site.allocated_count = max(table[index].allocated_count, site.freed_count)
      result.append(SiteRecord(index: index, site: site))
    }
    return result
  }

  /// Asks for call stacks of what a site allocates from now on.
  func askForStacks(ofSite index: Int) {
    let flags = table.baseAddress! + index
    ctrace_store_32(&flags.pointee.flags, flags.pointee.flags | UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue))
  }

  func cache(_ address: UInt64) -> Cache? {
    if let known = knownCaches[address] { return known }
    guard let entry = caches.value(lt_kernel_cache.self, for: address) else { return nil }
    let name = withUnsafeBytes(of: entry.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let cache = Cache(name: name, flags: entry.flags)
    knownCaches[address] = cache
    return cache
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

  /// The command name that a process had when it ended.
  func endedCommand(of processID: Int32) -> String? {
    guard let words = endedCommands.words(for: UInt32(bitPattern: processID)) else { return nil }
    return words.withUnsafeBytes { String(decoding: $0.prefix(16).prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// Calls `body` for every outstanding block. Blocks come and go meanwhile; each is read whole or not at all.
  func forEachBlock(_ body: (BlockRecord) -> Void) throws(BPFError) {
    let size = MemoryLayout<lt_block_bucket>.size
    let processMask = (UInt64(1) << UInt64(LT_KERNEL_PROCESS_BITS)) - 1
    let addressMask = (UInt64(1) << UInt64(LT_KERNEL_KEY_ADDRESS_BITS)) - 1
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
          body(
            BlockRecord(
              site: Int(payload.size_and_site & (UInt64(LT_MAX_SITES) - 1)),
              sizeInBytes: payload.size_and_site >> UInt64(LT_SITE_BITS),
              address: key & addressMask | ~addressMask,
              time: (payload.time >> UInt64(LT_KERNEL_PROCESS_BITS)) << UInt64(LT_KERNEL_TIME_UNIT_SHIFT),
              processID: Int32(truncatingIfNeeded: payload.time & processMask)))
        }
      }
    }
  }

  func counterValues() -> [UInt64] { counters.sumOverCPUs() }
}
