import Accounting
import BPFRuntime
import CTraceABI

/// The tables that the BPF programs keep in the kernel. This process reads them through shared memory.
package final class TraceTables {
  let sites: SiteTable<lt_site>
  let stacks: StackStore
  private let blocks: BlockTable
  private let processes: MappedArray
  private let globals: MappedArray
  private let counters: BPFMap
  private let walkCounters: BPFMap
  private let hits: BPFMap
  private let slots: BPFMap
  private let freePlacesMap: BPFMap
  /// What blocks are recorded.
  private(set) var sampling: SamplingLevels

  init(object: BPFObject, bucketCount: Int, siteCount: Int, sampling: SamplingLevels) throws(BPFError) {
    self.sampling = sampling
    sites = try SiteTable(map: object.map("sites"), count: siteCount)
    stacks = try StackStore(object: object)
    blocks = BlockTable(map: try object.map("blocks"), bucketCount: bucketCount)
    processes = try object.map("processes").memoryMapped()
    globals = try object.map("globals").memoryMapped()
    counters = try object.map("counters")
    walkCounters = try object.map("lt_unwind_counters")
    hits = try object.map("probe_hits")
    slots = try object.map("process_slots")
    freePlacesMap = try object.map("free_places")
  }

  private var words: UnsafeMutablePointer<lt_globals> { globals.bytes.bindMemory(to: lt_globals.self).baseAddress! }

  // MARK: Sites

  func stackHash(ofSite index: UInt32) -> UInt64 {
    Int(index) < sites.count ? sites.entries[Int(index)].stack_hash : 0
  }

  /// Removes the sites of a process's images before `generation`, and the stacks that no other site refers to.
  func removeSites(slot: UInt32, olderThan generation: UInt32) {
    let gone = sites.clear { UInt32($0.process_slot) == slot && $0.process_generation < generation }
    stacks.remove(sites.unused(gone))
  }

  /// Whether user space has yet to complete the stack of a site.
  func isPending(_ index: UInt32) -> Bool {
    Int(index) < sites.count && sites.entries[Int(index)].phase == LT_SITE_PENDING
  }

  /// Gives a pending site its complete stack. The site keeps its totals; reports add up the sites that have the same stack.
  ///
  /// - Parameters:
  ///   - pending: the stack hash by which the site has been known.
  ///   - epoch: the epoch with whose mappings the addresses are to be read; nil to leave the site's own.
  func completeSite(_ index: UInt32, pending: UInt64, stack: StackStore.StoredStack, epoch: UInt32?) {
    guard isPending(index), stackHash(ofSite: index) == pending else { return }
    // When the map of stacks is full, the site keeps the stack that it had.
    guard stacks.store(stack) else { return }
    let site = sites.entries.baseAddress! + Int(index)
    if let epoch { site.pointee.epoch = epoch }
    ctrace_store(&site.pointee.stack_hash, stack.hash)
    ctrace_store_32(&site.pointee.state, site.pointee.state & ~0xff | LT_SITE_READY.rawValue)
    stacks.remove([pending])
  }

  // MARK: Blocks

  struct BlockRecord {
    var address: UInt64
    var sizeInBytes: UInt64
    var site: Int
    /// CLOCK_MONOTONIC nanoseconds.
    var time: UInt64
    /// See ``SamplingLevels``.
    var level: Int
    var slot: UInt32
    /// Low bits of the process generation.
    var generation: UInt32
  }

  /// The parts of a block's key.
  private struct BlockKey {
    var word: UInt64
    var address: UInt64 { word & ((1 << UInt64(LT_KEY_ADDRESS_BITS)) - 1) }
    var slot: UInt32 { UInt32(word >> UInt64(LT_KEY_ADDRESS_BITS) & (UInt64(LT_MAX_PROCESS_SLOTS) - 1)) }
    var generation: UInt32 { UInt32(word >> UInt64(LT_KEY_ADDRESS_BITS + LT_KEY_SLOT_BITS)) }
    static var generationMask: UInt32 { UInt32(1 << LT_KEY_GENERATION_BITS) - 1 }
  }

  /// Calls `body` for every outstanding block; see ``BlockTable``.
  func forEachBlock(part: Int = 0, of parts: Int = 1, _ body: (BlockRecord) -> Void) throws(BPFError) {
    try blocks.forEachBlock(part: part, of: parts) { key, payload in
      let key = BlockKey(word: key)
      body(
        BlockRecord(
          address: key.address, sizeInBytes: payload.sizeInBytes, site: payload.site, time: payload.birthTime,
          level: payload.level, slot: key.slot, generation: key.generation))
    }
  }

  /// Removes the blocks of a slot except those of the generation `kept`; nil keeps none. Nothing changes blocks of images
  /// that are gone.
  func removeBlocks(slot: UInt32, keepingGeneration kept: UInt32?) throws(BPFError) {
    let removed = try blocks.remove { word in
      let key = BlockKey(word: word)
      return key.slot == slot && kept.map { key.generation != $0 & BlockKey.generationMask } ?? true
    }
    ctrace_subtract(&words.pointee.live_blocks, removed)
  }

  /// How many blocks are recorded now.
  var liveBlocks: Int { Int(words.pointee.live_blocks) }

  /// Where blocks of a site were freed.
  struct FreeRecord {
    var site: Int
    /// Upper half of the site's key.
    var siteCheck: UInt32
    var stackHash: UInt64
    var epoch: UInt32
    /// An estimate from so many samples.
    var frees: UInt64
    var samples: UInt64
  }

  func freeRecords() -> [FreeRecord] {
    freePlacesMap.keys(of: lt_free_place.self).compactMap { key in
      guard let count = freePlacesMap.value(lt_free_count.self, for: key) else { return nil }
      return FreeRecord(
        site: Int(key.site), siteCheck: key.site_check, stackHash: key.stack_hash,
        epoch: UInt32(truncatingIfNeeded: count.epoch), frees: count.frees, samples: count.samples)
    }
  }

  // MARK: Making room

  /// Records blocks from now on at the highest of these levels.
  func rise(to levels: SamplingLevels) {
    sampling = levels
    let level = levels.current
    withUnsafeMutableBytes(of: &words.pointee.level_values) { bytes in
      bytes.bindMemory(to: UInt64.self)[level] = levels.values[level]
    }
    ctrace_store(&words.pointee.level, UInt64(level))
  }

  /// Changes blocks while the programs go on; see ``BlockTable/revise(_:done:)``.
  func reviseBlocks(
    _ decide: (lt_block_payload) -> BlockTable.Revision, done: (lt_block_payload, BlockTable.Revision) -> Void
  ) throws(BPFError) {
    try blocks.revise({ _, payload in decide(payload) }, done: done)
  }

  /// Changes what a site has allocated, by amounts that may be negative modulo 2^64.
  func adjustSite(_ index: Int, bytes: UInt64, count: UInt64) {
    guard index < sites.count else { return }
    let site = sites.entries.baseAddress! + index
    _ = ctrace_fetch_add(&site.pointee.allocated_bytes, bytes)
    _ = ctrace_fetch_add(&site.pointee.allocated_count, count)
  }

  /// Notes that so many blocks were taken out, and that there is room again.
  func forget(_ count: UInt64) {
    ctrace_subtract(&words.pointee.live_blocks, count)
    ctrace_store(&words.pointee.is_filling, 0)
  }

  // MARK: Processes

  func process(slot: UInt32) -> lt_process {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)]
  }

  /// Makes a slot stand for a process. To be called before the process's first probe is attached.
  func enter(processID: Int32, slot: UInt32, generation: UInt32, isTarget: Bool) throws(BPFError) {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)] = lt_process(
      process_id: UInt32(processID), generation: generation, uprobes_trampoline: 0,
      unmatched_frees: 0, unmatched_frees_at_thread_end: 0, failed_allocations: 0, loader_changes: 0,
      loader_answers: 0, is_held: 0, is_target: isTarget ? 1 : 0, gate_starts: (0, 0), gate_sizes: (0, 0))
    try slots.set(slot, for: UInt32(processID))
  }

  /// Tells the programs where the code of a process's gates is, of `LT_MAX_GATES` at most.
  func setGates(_ ranges: [Range<UInt64>], slot: UInt32) {
    let process = processes.bytes.bindMemory(to: lt_process.self).baseAddress! + Int(slot)
    func word(_ index: Int, _ of: (Range<UInt64>) -> UInt64) -> UInt64 { index < ranges.count ? of(ranges[index]) : 0 }
    process.pointee.gate_starts = (word(0, \.lowerBound), word(1, \.lowerBound))
    process.pointee.gate_sizes = (word(0) { $0.upperBound - $0.lowerBound }, word(1) { $0.upperBound - $0.lowerBound })
  }

  func leave(processID: Int32) { slots.remove(UInt32(processID)) }

  /// Adds to the time for which targets may still be held, all together, and to that of their children. The programs subtract
  /// what each hold took.
  func refillHoldBudgets(by nanoseconds: Int64, upTo limit: Int64) {
    let missing = (limit - words.pointee.hold_budgets.0, limit - words.pointee.hold_budgets.1)
    if missing.0 > 0 { ctrace_add_signed(&words.pointee.hold_budgets.0, min(nanoseconds, missing.0)) }
    if missing.1 > 0 { ctrace_add_signed(&words.pointee.hold_budgets.1, min(nanoseconds, missing.1)) }
  }

  /// Which process is being attached to while it is held; nil for none. It is held for longer than those that are not.
  func setAttaching(_ processID: Int32?) { words.pointee.attaching_process = UInt64(processID ?? 0) }

  /// Lets a process go on that waits until change number `change` of its list of loaded objects has been looked at.
  func answerLoader(change: UInt64, slot: UInt32) {
    processes.bytes.bindMemory(to: lt_process.self)[Int(slot)].loader_answers = change
  }

  /// Notes whether user space itself steps the process. While it does, the process does not wait at changes of its loader.
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
