import BPFRuntime
import CTraceABI

/// The tables that the programs keep in the kernel, read through shared memory.
package final class TraceTables {
  private let blocks: BPFMap
  private let sites: MappedArray
  private let processes: MappedArray
  private let globals: MappedArray
  private let stacks: [BPFMap]
  private let counters: BPFMap
  private let walkCounters: BPFMap
  private let hits: BPFMap
  private let slots: BPFMap
  private let bucketCount: Int
  let siteCount: Int
  /// Stacks do not change once stored; one system call each, once.
  private var knownStacks: [UInt64: StoredStack] = [:]

  /// A stored stack, its frames leaf first.
  struct StoredStack {
    var frames: [UInt64]
    var outcome: UInt32

    /// As the programs compute it.
    var hash: UInt64 {
      lt_finish_stack_hash(frames.reduce(UInt64(outcome), lt_hash_frame), UInt32(frames.count))
    }
  }

  init(object: BPFObject, bucketCount: Int, siteCount: Int) throws(BPFError) {
    blocks = try object.map("blocks")
    sites = try object.map("sites").memoryMapped()
    processes = try object.map("processes").memoryMapped()
    globals = try object.map("globals").memoryMapped()
    stacks = [try object.map("short_stacks"), try object.map("stacks")]
    counters = try object.map("counters")
    walkCounters = try object.map("lt_unwind_counters")
    hits = try object.map("probe_hits")
    slots = try object.map("process_slots")
    self.bucketCount = bucketCount
    self.siteCount = siteCount
  }

  // MARK: Sites

  /// A site's totals as the kernel has them at this moment.
  struct SiteRecord {
    var index: Int
    var site: lt_site
  }

  /// Every site in use. Frees are read before allocations, so a site never seems to have freed more than it allocated.
  func readSites() -> [SiteRecord] {
    let table = sites.bytes.bindMemory(to: lt_site.self)
    var result: [SiteRecord] = []
    for index in 0..<siteCount where table[index].key != 0 && table[index].phase != LT_SITE_EMPTY {
      var site = table[index]
      site.freed_bytes = table[index].freed_bytes
      site.freed_count = table[index].freed_count
      site.allocated_bytes = max(table[index].allocated_bytes, site.freed_bytes)
      site.allocated_count = max(table[index].allocated_count, site.freed_count)
      result.append(SiteRecord(index: index, site: site))
    }
    return result
  }

  /// Calls `body` for every site that blocks were allocated at, without a copy of the table. Frees are read before
  /// allocations, so a site never seems to have freed more than it allocated.
  func forEachSite(_ body: (_ index: Int, lt_site) -> Void) {
    let table = sites.bytes.bindMemory(to: lt_site.self)
    for index in 0..<siteCount where table[index].key != 0 && table[index].phase != LT_SITE_EMPTY {
      let freedBytes = table[index].freed_bytes
      let freedCount = table[index].freed_count
      var site = table[index]
      guard site.allocated_count > 0 else { continue }
      site.freed_bytes = min(freedBytes, site.allocated_bytes)
      site.freed_count = min(freedCount, site.allocated_count)
      body(index, site)
    }
  }

  func stackHash(ofSite index: UInt32) -> UInt64 {
    guard Int(index) < siteCount else { return 0 }
    return sites.bytes.bindMemory(to: lt_site.self)[Int(index)].stack_hash
  }

  /// The frames of a stack, or nil when they could not be stored.
  func stack(hash: UInt64) -> StoredStack? {
    if let known = knownStacks[hash] { return known }
    // Both kinds begin alike and differ in how many frames they have room for.
    var found: [UInt64]?
    for map in stacks where found == nil { found = map.words(for: hash) }
    guard let words = found, let head = words.first else { return nil }
    let stack = (depth: UInt32(truncatingIfNeeded: head), outcome: UInt32(head >> 32))
    let frames = Array(words.dropFirst().prefix(Int(stack.depth)))
    let summary = StoredStack(frames: frames, outcome: stack.outcome)
    knownStacks[hash] = summary
    return summary
  }

  /// Gives back what belongs to a process image that is gone: its sites, and stacks that no other site names.
  func removeSites(slot: UInt32, olderThan generation: UInt32) {
    let table = sites.bytes.bindMemory(to: lt_site.self)
    var freedStacks: Set<UInt64> = []
    for index in 0..<siteCount
    where table[index].key != 0 && UInt32(table[index].process_slot) == slot
      && table[index].process_generation < generation
    {
      freedStacks.insert(table[index].stack_hash)
      table[index] = lt_site()
    }
    removeStacks(freedStacks)
  }

  /// Forgets stacks, except those that a site still names.
  func removeStacks(_ candidates: Set<UInt64>) {
    guard !candidates.isEmpty else { return }
    var unused = candidates
    let table = sites.bytes.bindMemory(to: lt_site.self)
    for index in 0..<siteCount where table[index].key != 0 {
      unused.remove(table[index].stack_hash)
    }
    for hash in unused {
      for map in stacks { map.remove(hash) }
      knownStacks[hash] = nil
    }
  }

  /// How many sites are in use.
  var usedSites: Int {
    let table = sites.bytes.bindMemory(to: lt_site.self)
    return (0..<siteCount).count { table[$0].key != 0 }
  }

  func site(at index: Int) -> lt_site { sites.bytes.bindMemory(to: lt_site.self)[index] }

  /// Makes a site one that programs do not find: their keys are odd. False when it is hidden already.
  func hideSite(_ index: Int) -> Bool {
    let site = sites.bytes.bindMemory(to: lt_site.self).baseAddress! + index
    let key = site.pointee.key
    return key & 1 == 1 && ctrace_compare_exchange(&site.pointee.key, key, key & ~1)
  }

  func showSite(_ index: Int) {
    let site = sites.bytes.bindMemory(to: lt_site.self).baseAddress! + index
    _ = ctrace_compare_exchange(&site.pointee.key, site.pointee.key, site.pointee.key | 1)
  }

  /// Makes room: everything but the key first, which is what says that the place is free.
  func emptySite(_ index: Int) {
    let site = sites.bytes.bindMemory(to: lt_site.self).baseAddress! + index
    let key = site.pointee.key
    var empty = lt_site()
    empty.key = key
    site.pointee = empty
    _ = ctrace_compare_exchange(&site.pointee.key, key, 0)
  }

  /// Whether user space is still going to complete the stack of a site.
  func isPending(_ index: UInt32) -> Bool {
    Int(index) < siteCount && site(at: Int(index)).phase == LT_SITE_PENDING
  }

  /// Gives a pending site its stack. Its totals stay what they are, and reports add up sites of one stack.
  ///
  /// - Parameters:
  ///   - pending: the stack hash by which the site has been known.
  ///   - epoch: what the addresses mean; nil to leave it as it is.
  func completeSite(_ index: UInt32, pending: UInt64, stack: StoredStack, epoch: UInt32?) {
    guard isPending(index), stackHash(ofSite: index) == pending else { return }
    let hash = stack.hash
    let map = stacks[stack.frames.count <= Int(LT_SHORT_STACK_DEPTH) ? 0 : 1]
    if self.stack(hash: hash) == nil {
      var words = [UInt64](repeating: 0, count: map.valueSize / 8)
      words[0] = UInt64(stack.outcome) << 32 | UInt64(stack.frames.count)
      words.replaceSubrange(1...stack.frames.count, with: stack.frames)
      // A full map leaves the site with what it had.
      guard map.set(words: words, for: hash) else { return }
    }
    let site = sites.bytes.bindMemory(to: lt_site.self).baseAddress! + Int(index)
    if let epoch { site.pointee.epoch = epoch }
    ctrace_store(&site.pointee.stack_hash, hash)
    ctrace_store_32(&site.pointee.state, site.pointee.state & ~0xff | LT_SITE_READY.rawValue)
    for map in stacks { map.remove(pending) }
    knownStacks[pending] = nil
  }

  // MARK: Blocks

  struct BlockRecord {
    var address: UInt64
    var sizeInBytes: UInt64
    var site: Int
    /// CLOCK_MONOTONIC nanoseconds.
    var time: UInt64
    var slot: UInt32
    /// Low bits of the process generation.
    var generation: UInt32
  }

  /// Calls `body` for every outstanding block. Blocks come and go meanwhile; each is read whole or not at all.
  ///
  /// One of so many parts of them: each part can be gone through by a thread of its own.
  func forEachBlock(part: Int = 0, of parts: Int = 1, _ body: (BlockRecord) -> Void) throws(BPFError) {
    let addressMask = (UInt64(1) << UInt64(LT_KEY_ADDRESS_BITS)) - 1
    let slotMask = UInt64(LT_MAX_PROCESS_SLOTS) - 1
    try forEachBucket(part: part, of: parts) { bucket in
      let keys = bucket.assumingMemoryBound(to: UInt64.self)
      let payloads = (bucket + 8 * Int(LT_BUCKET_ENTRIES)).assumingMemoryBound(
        to: lt_block_payload.self)
      for entry in 0..<Int(LT_BUCKET_ENTRIES) {
        let key = keys[entry]
        guard key > LT_BLOCK_BUSY else { continue }
        let payload = payloads[entry]
        guard keys[entry] == key else { continue }
        body(
          BlockRecord(
            address: key & addressMask, sizeInBytes: payload.size_and_site >> UInt64(LT_SITE_BITS),
            site: Int(payload.size_and_site & (UInt64(LT_MAX_SITES) - 1)), time: payload.time,
            slot: UInt32(key >> UInt64(LT_KEY_ADDRESS_BITS) & slotMask),
            generation: UInt32(key >> UInt64(LT_KEY_ADDRESS_BITS + LT_KEY_SLOT_BITS))))
      }
    }
  }

  private func forEachBucket(
    part: Int = 0, of parts: Int = 1, _ body: (UnsafeMutableRawPointer) -> Void
  ) throws(BPFError) {
    let size = MemoryLayout<lt_block_bucket>.size
    // A multiple of both the page and the bucket: 3 MiB.
    let window = 3 << 20
    let windows = (blocks.byteCount + window - 1) / window
    try blocks.forEachWindow(ofSize: window, in: windows * part / parts..<windows * (part + 1) / parts) {
      offset, window in
      let count = min(bucketCount - offset / size, window.count / size)
      for index in 0..<max(0, count) { body(window.baseAddress! + index * size) }
    }
  }

  /// Takes out the blocks of a process image that is gone; its programs can no longer change them.
  func removeBlocks(slot: UInt32, keepingGeneration kept: UInt32?) throws(BPFError) {
    let slotShift = UInt64(LT_KEY_ADDRESS_BITS)
    let generationShift = UInt64(LT_KEY_ADDRESS_BITS + LT_KEY_SLOT_BITS)
    let generationMask = UInt32(1 << LT_KEY_GENERATION_BITS) - 1
    var removed: UInt64 = 0
    try forEachBucket { bucket in
      let keys = bucket.assumingMemoryBound(to: UInt64.self)
      for entry in 0..<Int(LT_BUCKET_ENTRIES) {
        let key = keys[entry]
        guard key > LT_BLOCK_BUSY,
          UInt32(key >> slotShift & (UInt64(LT_MAX_PROCESS_SLOTS) - 1)) == slot
        else { continue }
        if let kept, UInt32(key >> generationShift) == kept & generationMask { continue }
        if ctrace_compare_exchange(keys + entry, key, 0) { removed += 1 }
      }
    }
    ctrace_subtract(&globals.bytes.bindMemory(to: lt_globals.self).baseAddress!.pointee.live_blocks, removed)
  }

  /// How many blocks are recorded now.
  var liveBlocks: Int { Int(globals.bytes.bindMemory(to: lt_globals.self).baseAddress!.pointee.live_blocks) }

  // MARK: Processes

  func process(slot: UInt32) -> lt_process {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)]
  }

  /// Makes a slot stand for a process, before its first probe is attached.
  func enter(processID: Int32, slot: UInt32, generation: UInt32) throws(BPFError) {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)] = lt_process(
      process_id: UInt32(processID), generation: generation, uprobes_trampoline: 0,
      unmatched_frees: 0, unmatched_frees_at_thread_end: 0, failed_allocations: 0, loader_changes: 0,
      loader_answers: 0, is_held: 0)
    try slots.set(slot, for: UInt32(processID))
  }

  func leave(processID: Int32) { slots.remove(UInt32(processID)) }

  /// How long traced processes may still be held, all together; the programs take off what they used.
  func refillHoldBudget(by nanoseconds: Int64, upTo limit: Int64) {
    let words = globals.bytes.bindMemory(to: lt_globals.self).baseAddress!
    let missing = limit - words.pointee.hold_budget
    if missing > 0 { ctrace_add_signed(&words.pointee.hold_budget, min(nanoseconds, missing)) }
  }

  /// One forked child less to be attached to.
  func finishWaitingChild() {
    let words = globals.bytes.bindMemory(to: lt_globals.self).baseAddress!
    ctrace_subtract(&words.pointee.waiting_children, 1)
  }

  /// Lets a process go on that waits for its loader's change number `change` to be looked at.
  func answerLoader(change: UInt64, slot: UInt32) {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)].loader_answers = change
  }

  /// While held, the process does not wait at changes of its loader: user space steps it itself.
  func setHeld(_ isHeld: Bool, slot: UInt32) {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)].is_held = isHeld ? 1 : 0
  }

  // MARK: Counters

  func counterValues() -> [UInt64] { counters.sumOverCPUs() }

  /// The stack walker's counters, by `enum lt_unwind_counter`.
  func walkCounterValues() -> [UInt64] {
    (0..<UInt32(LT_UNWIND_COUNTER_COUNT.rawValue)).map { walkCounters.sumOverCPUs(index: $0)[0] }
  }

  func hits(ofProbe probe: UInt32) -> UInt64 { hits.sumOverCPUs(index: probe)[0] }
}

extension lt_site {
  var phase: lt_site_state { lt_site_state(rawValue: state & 0xff) }

  /// The thread whose site it is; nil when sites are of all threads.
  var threadID: Int32? {
    let thread = state >> UInt32(LT_SITE_THREAD_SHIFT)
    return thread == 0 ? nil : Int32(thread)
  }
}
