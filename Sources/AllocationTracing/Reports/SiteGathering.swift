import Accounting
import BPFRuntime
import CTraceABI
import Glibc
import GrowthStatistics
import LeakAnalysis
import Quantities
import TraceModel

/// What identifies a site across reports.
struct SiteKey: Hashable {
  var slot: UInt32
  var generation: UInt32
  var stackHash: UInt64
  var allocationClass: AllocationClass
  /// What the stack's addresses mean: one of the epochs in which they mean this.
  var epoch: UInt32
  /// nil when sites are of all threads.
  var threadID: Int32?
}

/// A site while its numbers are gathered.
struct SiteDraft {
  var key: SiteKey
  var process: TracedProcess
  var probe: UInt32
  var code: RecordedCode
  var sums = SiteSums()
  /// The kernel's sites that belong to it.
  var sites: [Int] = []
  /// What a leak check says of its blocks; nil when its process was not checked.
  var verdicts: VerdictSums?
}

/// Brings the kernel's sites, the mapping ledgers and the blocks together.
struct SiteGathering {
  private(set) var drafts: [SiteDraft] = []
  /// Positions in `drafts` by the key with epoch 0: one for each meaning of the stack's addresses.
  private var positions: [SiteKey: [Int]] = [:]
  /// Position in `drafts` by index of the kernel's site; −1 when it is of no traced image.
  private var draftOfSite: [Int32]
  private var mappingDraftOfSite: [UInt32: Int] = [:]
  private let configuration: TraceConfiguration
  private let isSameCode: (SiteDraft, UInt32) -> Bool

  /// - Parameter isSameCode: whether a site's stack means the same in another epoch of its process's mappings.
  init(
    tables: TraceTables, configuration: TraceConfiguration,
    processOfSlot: (UInt32) -> TracedProcess?,
    isSameCode: @escaping (SiteDraft, UInt32) -> Bool
  ) {
    self.configuration = configuration
    self.isSameCode = isSameCode
    draftOfSite = [Int32](repeating: -1, count: tables.sites.count)
    for record in tables.sites.records() {
      guard let process = processOfSlot(UInt32(record.site.process_slot)),
        process.generation == record.site.process_generation
      else { continue }
      if record.site.allocated_count > 0 { addHeap(record, process) }
      if let totals = process.ledger.totals[UInt32(record.index)] {
        addMapping(record, totals, process)
      }
    }
  }

  private mutating func position(
    of record: SiteRecord<lt_site>, _ allocationClass: AllocationClass, _ process: TracedProcess
  ) -> Int {
    var key = SiteKey(
      slot: UInt32(record.site.process_slot), generation: record.site.process_generation,
      stackHash: record.site.stack_hash, allocationClass: allocationClass, epoch: 0,
      threadID: record.site.threadID)
    let known = positions[key] ?? []
    if let same = known.first(where: { isSameCode(drafts[$0], record.site.epoch) }) {
      return same
    }
    positions[key, default: []].append(drafts.count)
    key.epoch = record.site.epoch
    let code = RecordedCode(
      processID: process.processID, imageNumber: process.imageNumber, epoch: key.epoch)
    drafts.append(
      SiteDraft(key: key, process: process, probe: UInt32(record.site.probe), code: code))
    return drafts.count - 1
  }

  private mutating func addHeap(_ record: SiteRecord<lt_site>, _ process: TracedProcess) {
    let site = record.site
    let position = position(of: record, .heap, process)
    draftOfSite[record.index] = Int32(position)
    drafts[position].sites.append(record.index)
    drafts[position].sums.allocated += Tally(
      bytes: site.allocated_bytes, count: blocks(site.allocated_count))
    drafts[position].sums.freed += Tally(bytes: site.freed_bytes, count: blocks(site.freed_count))
    drafts[position].sums.outstanding += Tally(
      bytes: site.allocated_bytes - site.freed_bytes,
      count: blocks(site.allocated_count - site.freed_count))
  }

  /// Whole blocks from the unit in which counts are kept while sampling.
  private func blocks(_ units: UInt64) -> UInt64 {
    guard configuration.isSampling else { return units }
    return (units + 1 << (UInt64(LT_COUNT_UNIT_SHIFT) - 1)) >> UInt64(LT_COUNT_UNIT_SHIFT)
  }

  private mutating func addMapping(
    _ record: SiteRecord<lt_site>, _ totals: MappingLedger.SiteTotals, _ process: TracedProcess
  ) {
    let position = position(of: record, .mapping, process)
    mappingDraftOfSite[UInt32(record.index)] = position
    drafts[position].sites.append(record.index)
    drafts[position].sums.allocated += totals.allocated
    drafts[position].sums.freed += totals.freed
    drafts[position].sums.outstanding += process.ledger.outstanding(of: UInt32(record.index))
  }

  /// One pass over the outstanding blocks and ranges: ages, estimates and, if asked for, the blocks themselves.
  mutating func addBlocks(
    tables: TraceTables, request: ReportRequest, checks: [ObjectIdentifier: LeakCheckResult], now: UInt64
  ) throws(BPFError) {
    var checkOfDraft: [LeakCheckResult?] = []
    for index in drafts.indices {
      let check = checks[ObjectIdentifier(drafts[index].process)]
      checkOfDraft.append(check?.generation == drafts[index].process.generation ? check : nil)
      if checkOfDraft[index] != nil { drafts[index].verdicts = VerdictSums() }
    }
    var agesOfDraft: [GrowthAges?] = []
    for index in drafts.indices {
      agesOfDraft.append(drafts[index].process.growthClock?.ages)
      if agesOfDraft[index] != nil { drafts[index].sums.survivors = Survivors() }
    }
    let youngest = now &- UInt64(max(0, request.minimumAge.inNanoseconds))
    try tables.forEachBlock { block in
      guard block.site < draftOfSite.count, draftOfSite[block.site] >= 0 else { return }
      let position = Int(draftOfSite[block.site])
      let weight = weight(ofSize: block.sizeInBytes)
      let size = Double(block.sizeInBytes)
      if let ages = agesOfDraft[position] {
        drafts[position].sums.survivors?.add(bytes: size * weight, count: weight, time: block.time, ages: ages)
      }
      guard block.time <= youngest else { return }
      drafts[position].sums.add(sizeInBytes: block.sizeInBytes, weight: weight, time: block.time)
      let verdict = checkOfDraft[position]?.verdict(
        of: LeakBlock(address: block.address, sizeInBytes: block.sizeInBytes, time: block.time))
      if let verdict { drafts[position].verdicts?.add(verdict, bytes: size * weight, count: weight) }
      if request.listsBlocks {
        drafts[position].sums.list(
          address: block.address, sizeInBytes: block.sizeInBytes, time: block.time, now: now, verdict: verdict)
      }
    }
    var seen: Set<ObjectIdentifier> = []
    for draft in drafts where draft.key.allocationClass == .mapping {
      if seen.insert(ObjectIdentifier(draft.process)).inserted {
        let check = checks[ObjectIdentifier(draft.process)]
        addRanges(
          of: draft.process, request: request,
          check: check?.generation == draft.process.generation ? check : nil, youngest: youngest, now: now)
      }
    }
  }

  private mutating func addRanges(
    of process: TracedProcess, request: ReportRequest, check: LeakCheckResult?, youngest: UInt64, now: UInt64
  ) {
    var calls: Set<UInt64> = []
    for range in process.ledger.ranges {
      guard let position = mappingDraftOfSite[range.site] else { continue }
      let isFirstPart = calls.insert(range.call).inserted
      if let ages = process.growthClock?.ages {
        drafts[position].sums.survivors?.add(
          bytes: Double(range.end - range.start), count: isFirstPart ? 1 : 0, time: range.time, ages: ages)
      }
      guard range.time <= youngest else { continue }
      drafts[position].sums.add(sizeInBytes: range.end - range.start, isCounted: isFirstPart, time: range.time)
      let verdict = check?.verdict(
        ofMapping: LeakBlock(address: range.start, sizeInBytes: range.end - range.start, time: range.time))
      if let verdict {
        drafts[position].verdicts?.add(
          verdict, bytes: Double(range.end - range.start), count: isFirstPart ? 1 : 0)
      }
      if request.listsBlocks {
        drafts[position].sums.list(
          address: range.start, sizeInBytes: range.end - range.start, time: range.time, now: now, verdict: verdict)
      }
    }
  }

  /// How many blocks a recorded one stands for: 1/P.
  private func weight(ofSize size: UInt64) -> Double {
    if let nth = configuration.sampleEveryNth, nth > 1 { return Double(nth) }
    guard let mean = configuration.sampleMeanInBytes, mean > 0, size > 0 else { return 1 }
    return 1 / -expm1(-Double(size) / Double(mean))
  }
}
