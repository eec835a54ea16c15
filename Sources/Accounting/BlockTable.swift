import BPFRuntime
import CTraceABI

/// The table of outstanding blocks, read through shared memory, one window after another.
package struct BlockTable {
  private let map: BPFMap
  private let bucketCount: Int

  package init(map: BPFMap, bucketCount: Int) {
    self.map = map
    self.bucketCount = bucketCount
  }

  /// How many buckets a table needs to hold `count` blocks. It is three quarters full then; since each block has a choice of
  /// three buckets with eight places each, every block finds a place.
  package static func bucketCount(forBlocks count: Int) -> Int {
    let places = max(64, count + count / 3)
    return (places + Int(LT_BUCKET_ENTRIES) - 1) / Int(LT_BUCKET_ENTRIES)
  }

  /// Calls `body` with the key and payload of every outstanding block. Blocks come and go meanwhile; each is read whole or
  /// not at all.
  ///
  /// Goes only through the given one of `parts` equal parts, so that each part can have a thread of its own.
  package func forEachBlock(
    part: Int = 0, of parts: Int = 1, _ body: (_ key: UInt64, _ payload: lt_block_payload) -> Void
  ) throws(BPFError) {
    try forEachBucket(part: part, of: parts) { keys, payloads in
      for entry in 0..<Int(LT_BUCKET_ENTRIES) {
        let key = keys[entry]
        guard key > LT_BLOCK_BUSY else { continue }
        let payload = payloads[entry]
        guard keys[entry] == key else { continue }
        body(key, payload)
      }
    }
  }

  /// Removes the blocks for whose keys `isGone` is true, which programs can no longer change. Returns how many there were.
  package func remove(where isGone: (_ key: UInt64) -> Bool) throws(BPFError) -> UInt64 {
    var removed: UInt64 = 0
    try revise { key, _ in
      isGone(key) ? .remove : .keep
    } done: { _, _ in
      removed += 1
    }
    return removed
  }

  /// What becomes of a block in ``revise(_:)``.
  package enum Revision {
    case keep
    case remove
    /// Its payload gets this time, and with it another level.
    case retime(UInt64)
  }

  /// Changes blocks while the programs go on.
  ///
  /// A block that is freed at the very moment when its level is raised can be taken off with either level. That is one block
  /// in many runs, of an estimate by then.
  ///
  /// - Parameters:
  ///   - decide: what becomes of a block.
  ///   - done: called for each block that was removed or has its new time, as `decide` saw it; not for those that a program
  ///     took out meanwhile.
  package func revise(
    _ decide: (_ key: UInt64, _ payload: lt_block_payload) -> Revision,
    done: (_ payload: lt_block_payload, _ revision: Revision) -> Void
  ) throws(BPFError) {
    try forEachBucket(part: 0, of: 1) { keys, payloads in
      for entry in 0..<Int(LT_BUCKET_ENTRIES) {
        let key = keys[entry]
        guard key > LT_BLOCK_BUSY else { continue }
        let payload = payloads[entry]
        guard ctrace_load(keys + entry) == key else { continue }
        let revision = decide(key, payload)
        switch revision {
        case .keep: continue
        case .remove:
          guard ctrace_compare_exchange(keys + entry, key, 0) else { continue }
        case .retime(let time):
          guard
            ctrace_compare_exchange(&payloads[entry].time, payload.time, time), ctrace_load(keys + entry) == key
          else { continue }
        }
        done(payload, revision)
      }
    }
  }

  private func forEachBucket(
    part: Int, of parts: Int,
    _ body: (_ keys: UnsafeMutablePointer<UInt64>, _ payloads: UnsafeMutablePointer<lt_block_payload>) -> Void
  ) throws(BPFError) {
    let size = MemoryLayout<lt_block_bucket>.size
    // A multiple of both the page and the bucket: 3 MiB.
    let window = 3 << 20
    let windows = (map.byteCount + window - 1) / window
    try map.forEachWindow(ofSize: window, in: windows * part / parts..<windows * (part + 1) / parts) {
      offset, window in
      let count = min(bucketCount - offset / size, window.count / size)
      for index in 0..<max(0, count) {
        let bucket = window.baseAddress! + index * size
        body(
          bucket.assumingMemoryBound(to: UInt64.self),
          (bucket + 8 * Int(LT_BUCKET_ENTRIES)).assumingMemoryBound(to: lt_block_payload.self))
      }
    }
  }
}

extension lt_block_payload {
  package var sizeInBytes: UInt64 { size_and_site >> UInt64(LT_SITE_BITS) }
  /// Index in the table of sites.
  package var site: Int { Int(size_and_site & (UInt64(LT_MAX_SITES) - 1)) }
  /// When a program's block was allocated, CLOCK_MONOTONIC nanoseconds to within 16 ns.
  package var birthTime: UInt64 { time & ~LT_LEVEL_MASK }
  /// The level of sampling at which a program's block is counted.
  package var level: Int { Int(time & LT_LEVEL_MASK) }
}
