import Accounting
import BPFRuntime
import CTraceABI

/// The tables that the BPF programs keep in the kernel. This process reads them through shared memory.
final class KernelTables {
  typealias SiteRecord = Accounting.SiteRecord<lt_kernel_site>

  let sites: SiteTable<lt_kernel_site>
  let stacks: StackStore
  private let blocks: BlockTable
  private let caches: BPFMap
  private let endedProcesses: BPFMap
  private let counters: BPFMap
  private let globals: MappedArray

  struct BlockRecord {
    var site: Int
    var sizeInBytes: UInt64
    var address: UInt64
    /// CLOCK_MONOTONIC nanoseconds, to about a millisecond.
    var time: UInt64
    /// 0 when the block was allocated in an interrupt.
    var processID: Int32
    /// It stands for 2 to the power of this.
    var level: Int
  }

  init(object: BPFObject, bucketCount: Int, siteCount: Int) throws(BPFError) {
    sites = try SiteTable(map: object.map("sites"), count: siteCount)
    stacks = try StackStore(object: object)
    blocks = BlockTable(map: try object.map("blocks"), bucketCount: bucketCount)
    caches = try object.map("caches")
    endedProcesses = try object.map("ended_processes")
    counters = try object.map("counters")
    globals = try object.map("globals").memoryMapped()
  }

  // MARK: Sites

  /// Asks for call stacks of what a site allocates from now on, or stops asking.
  func setWantsStacks(_ wanted: Bool, ofSite index: Int) {
    let site = sites.entries.baseAddress! + index
    let flag = UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue)
    ctrace_store_32(&site.pointee.flags, wanted ? site.pointee.flags | flag : site.pointee.flags & ~flag)
  }

  /// Stops recording the blocks of a site, as if its cache were one that the kernel takes back.
  func leaveOut(site index: Int) {
    let site = sites.entries.baseAddress! + index
    ctrace_store_32(&site.pointee.flags, site.pointee.flags | UInt32(LT_KERNEL_SITE_RECLAIMABLE.rawValue))
  }

  // MARK: What sites refer to

  /// The name of the cache at an address. It is read anew each time, because another cache may have taken that address.
  func cacheName(_ address: UInt64) -> String? {
    guard let entry = caches.value(lt_kernel_cache.self, for: address) else { return nil }
    let name = withUnsafeBytes(of: entry.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return name.isEmpty ? nil : name
  }

  /// The command name that a process had when it ended, and the process that had started it.
  func endedProcess(_ processID: Int32) -> (command: String, parent: Int32)? {
    guard let entry = endedProcesses.value(lt_ended_process.self, for: UInt32(bitPattern: processID)) else {
      return nil
    }
    let command = withUnsafeBytes(of: entry.comm) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return (command, Int32(bitPattern: entry.parent))
  }

  func counterValues() -> [UInt64] { counters.sumOverCPUs() }

  // MARK: Blocks

  /// Calls `body` for every outstanding block; see ``BlockTable``.
  func forEachBlock(_ body: (BlockRecord) -> Void) throws(BPFError) {
    let processMask = (UInt64(1) << UInt64(LT_KERNEL_PROCESS_BITS)) - 1
    let addressMask = (UInt64(1) << UInt64(LT_KERNEL_KEY_ADDRESS_BITS)) - 1
    let percpu = UInt64(LT_KERNEL_PERCPU.rawValue)
    try blocks.forEachBlock { key, payload in
      // Per-CPU pointers are offsets. All others are addresses of the kernel, in which the bits above those of the key are
      // set.
      let isOffset = key >> UInt64(LT_KERNEL_KEY_ADDRESS_BITS) & 7 == percpu
      body(
        BlockRecord(
          site: payload.site, sizeInBytes: payload.sizeInBytes,
          address: isOffset ? key & addressMask : key & addressMask | ~addressMask,
          time: (payload.time >> UInt64(LT_KERNEL_TIME_SHIFT)) << UInt64(LT_KERNEL_TIME_UNIT_SHIFT),
          processID: Int32(truncatingIfNeeded: payload.time >> UInt64(LT_KERNEL_PROCESS_SHIFT) & processMask),
          level: payload.level))
    }
  }

  // MARK: A sample of the blocks

  private var words: UnsafeMutablePointer<lt_kernel_globals> {
    globals.bytes.bindMemory(to: lt_kernel_globals.self).baseAddress!
  }

  /// The level of what is recorded from now on.
  var level: Int { Int(ctrace_load(&words.pointee.level) & LT_LEVEL_MASK) }

  /// How many blocks are in the table, where all of them have the level of now.
  func blockCount() -> UInt64 {
    var count: UInt64 = 0
    sites.forEachSite { count &+= $0.outstandingCount }
    return count >> UInt64(level)
  }

  /// Raises the level, and takes out of the table what would not have been recorded at it: of blocks that stay each stands for as
  /// many more. What is done while programs go on is told by ``BlockTable/revise(_:done:)``.
  ///
  /// - Parameter isChosen: whether one stays of so many blocks as the power of two says.
  func rise(by steps: Int, isChosen: (_ steps: Int) -> Bool) throws(BPFError) {
    let target = min(level + steps, Int(LT_MAX_LEVELS) - 1)
    ctrace_store(&words.pointee.level, UInt64(target))
    try blocks.revise { _, payload in
      guard payload.level < target else { return .keep }
      return isChosen(target - payload.level) ? .retime(payload.birthTime | UInt64(target)) : .remove
    } done: { payload, revision in
      let before = UInt64(1) << UInt64(payload.level)
      var after: UInt64 = 0
      if case .retime = revision { after = UInt64(1) << UInt64(target) }
      guard payload.site < sites.count else { return }
      let site = sites.entries.baseAddress! + payload.site
      _ = ctrace_fetch_add(&site.pointee.allocated_bytes, payload.sizeInBytes &* (after &- before))
      _ = ctrace_fetch_add(&site.pointee.allocated_count, after &- before)
    }
  }
}

extension SiteRecord<lt_kernel_site> {
  var isIgnored: Bool { site.flags & UInt32(LT_KERNEL_SITE_IGNORED.rawValue) != 0 }
  var isLeftOut: Bool { site.flags & UInt32(LT_KERNEL_SITE_RECLAIMABLE.rawValue) != 0 }
  var wantsStacks: Bool { site.flags & UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue) != 0 }
}
