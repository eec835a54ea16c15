import Accounting
import CTraceABI
import Glibc
import GrowthStatistics
import LeakAnalysis
import Quantities
import Symbolization
import TraceModel

/// What identifies a site across reports.
struct SiteKey: Hashable {
  var slot: UInt32
  var generation: UInt32
  var stackHash: UInt64
  var allocationClass: AllocationClass
  /// An epoch with whose mappings the stack's addresses are to be read. Others may give them the same meaning.
  var epoch: UInt32
  /// nil when sites are not kept for each thread apart.
  var threadID: Int32?
}

/// A site of a report while its numbers are gathered.
struct SiteDraft {
  var key: SiteKey
  /// Position of its process in the snapshot.
  var process: Int
  var probe: UInt32
  var code: RecordedCode
  var sums = SiteSums()
  /// The sites of the kernel's table that are added up in it.
  var sites: [(index: Int, identity: UInt64)] = []
  /// What a leak check says of its blocks; nil when its process was not checked.
  var verdicts: VerdictSums?

  /// What is outstanding, by verdict; nil when its process was not checked.
  var tallies: [VerdictKind: Tally]? { verdicts?.tallies(outstanding: sums.outstanding) }
}

/// Brings together the kernel's sites, the mapping ledgers and the blocks of a snapshot.
struct SiteGathering {
  private(set) var drafts: [SiteDraft] = []
  private let snapshot: TraceSnapshot
  /// Positions in `drafts` by the key with epoch 0. There are several where the same addresses mean different code in
  /// different epochs.
  private var positions: [SiteKey: [Int]] = [:]
  /// Position in `drafts` by the index of the kernel's site; −1 when the site belongs to no image of the snapshot.
  private var draftOfSite: [Int32]
  private var mappingDraftOfSite: [UInt32: Int] = [:]
  /// Position in `drafts` by the code that a stack went through, for processes that have removed code: a library that is loaded
  /// again lies elsewhere, and what it allocates has another stack each time.
  private var positionsByCode: [CodeKey: Int] = [:]
  private let naming: any StackNaming
  private let hasRemovedCode: [Bool]

  private struct CodeKey: Hashable {
    /// Without stack and epoch.
    var key: SiteKey
    var places: [CodePlace]
  }

  init(_ snapshot: TraceSnapshot, naming: any StackNaming) {
    self.snapshot = snapshot
    self.naming = naming
    hasRemovedCode = snapshot.processes.map { process in
      naming.hasRemovedCode(
        RecordedCode(processID: process.processID, imageNumber: process.imageNumber, epoch: 0))
    }
    draftOfSite = [Int32](repeating: -1, count: snapshot.siteCapacity)
    let processOfSlot = Dictionary(
      snapshot.processes.enumerated().map { ($1.slot, $0) }, uniquingKeysWith: { _, last in last })
    for record in snapshot.sites {
      guard let process = processOfSlot[UInt32(record.site.process_slot)],
        snapshot.processes[process].generation == record.site.process_generation
      else { continue }
      if record.site.allocated_count > 0 { addHeap(record, process) }
      let owner = snapshot.processes[process]
      if let totals = owner.ledger.totals[UInt32(record.index)],
        !owner.threadStackSites.contains(UInt32(record.index))
      {
        addMapping(record, totals, process)
      }
    }
  }

  private mutating func position(
    of record: SiteRecord<lt_site>, _ allocationClass: AllocationClass, _ process: Int
  ) -> Int {
    var key = SiteKey(
      slot: UInt32(record.site.process_slot), generation: record.site.process_generation,
      stackHash: record.site.stack_hash, allocationClass: allocationClass, epoch: 0,
      threadID: record.site.threadID)
    let owner = snapshot.processes[process]
    let code = RecordedCode(processID: owner.processID, imageNumber: owner.imageNumber, epoch: record.site.epoch)
    if let same = positions[key]?.first(where: { isSameCode(drafts[$0], as: code) }) { return same }
    if hasRemovedCode[process], let codeKey = codeKey(of: key, code) {
      if let same = positionsByCode[codeKey] { return same }
      positionsByCode[codeKey] = drafts.count
    }
    positions[key, default: []].append(drafts.count)
    key.epoch = record.site.epoch
    drafts.append(SiteDraft(key: key, process: process, probe: UInt32(record.site.probe), code: code))
    return drafts.count - 1
  }

  /// Whether a site's stack lies in the same code in another epoch of its process's mappings.
  private func isSameCode(_ draft: SiteDraft, as code: RecordedCode) -> Bool {
    if draft.code.epoch == code.epoch { return true }
    let stack = snapshot.stack(hash: draft.key.stackHash)
    return naming.codePlaces(of: stack, in: draft.code) == naming.codePlaces(of: stack, in: code)
  }

  /// What the sites of the same code have in common; nil where some of it is unknown.
  private func codeKey(of key: SiteKey, _ code: RecordedCode) -> CodeKey? {
    let stack = snapshot.stack(hash: key.stackHash)
    let places = naming.codePlaces(of: stack, in: code)
    let known = places.compactMap(\.self)
    guard !known.isEmpty, known.count == places.count else { return nil }
    var key = key
    key.stackHash = UInt64(known.count)
    return CodeKey(key: key, places: known)
  }

  private mutating func addHeap(_ record: SiteRecord<lt_site>, _ process: Int) {
    let position = position(of: record, .heap, process)
    draftOfSite[record.index] = Int32(position)
    drafts[position].sites.append((record.index, record.identity))
    drafts[position].sums.addHeap(record)
  }

  private mutating func addMapping(
    _ record: SiteRecord<lt_site>, _ totals: MappingLedger.SiteTotals, _ process: Int
  ) {
    let position = position(of: record, .mapping, process)
    mappingDraftOfSite[UInt32(record.index)] = position
    // The history of mappings follows behind that of all heap sites.
    drafts[position].sites.append((snapshot.siteCapacity + record.index, record.identity))
    drafts[position].sums.add(totals)
  }

  // MARK: Blocks

  /// Goes once through the outstanding blocks and ranges and adds what only they tell: ages, estimates, verdicts and, if
  /// asked for, the blocks themselves.
  ///
  /// - Parameter checks: the leak check of each process of the snapshot; nil where there is none.
  mutating func addBlocks(request: ReportRequest, checks: [(any BlockVerdicts)?]) {
    let now = snapshot.time
    let clocks = snapshot.processes.map(\.growthClock?.ages)
    for index in drafts.indices {
      if checks[drafts[index].process] != nil { drafts[index].verdicts = VerdictSums() }
      if clocks[drafts[index].process] != nil { drafts[index].sums.survivors = Survivors() }
    }
    // Looked up once for each site, because they are needed for every block.
    let checkOfDraft = drafts.map { checks[$0.process] }
    let agesOfDraft = drafts.map { clocks[$0.process] }
    let youngest = now &- UInt64(max(0, request.minimumAge.inNanoseconds))
    for block in snapshot.blocks ?? [] {
      // The process runs on while its tables are read: what it has allocated since its sites were read is in no sum.
      guard block.time <= now, block.site < draftOfSite.count, draftOfSite[block.site] >= 0 else { continue }
      let position = Int(draftOfSite[block.site])
      let size = block.sizeInBytes
      let weight = snapshot.sampling.weight(ofSize: size, level: block.level)
      if let ages = agesOfDraft[position] {
        drafts[position].sums.survivors?.add(
          bytes: Double(size) * weight, count: weight, time: block.time, ages: ages)
      }
      guard block.time <= youngest else { continue }
      drafts[position].sums.add(sizeInBytes: size, weight: weight, time: block.time)
      let verdict = checkOfDraft[position]?.verdict(
        of: LeakBlock(address: block.address, sizeInBytes: size, time: block.time))
      if let verdict { drafts[position].verdicts?.add(verdict, bytes: Double(size) * weight, count: weight) }
      if request.listsBlocks {
        drafts[position].sums.list(
          address: block.address, sizeInBytes: size, time: block.time, now: now, verdict: verdict)
      }
    }
    for process in Set(mappingDraftOfSite.values.map { drafts[$0].process }) {
      addRanges(of: process, request: request, check: checks[process], youngest: youngest)
    }
  }

  private mutating func addRanges(
    of process: Int, request: ReportRequest, check: (any BlockVerdicts)?, youngest: UInt64
  ) {
    let owner = snapshot.processes[process]
    var calls: Set<UInt64> = []
    for range in owner.ledger.ranges {
      guard let position = mappingDraftOfSite[range.site], drafts[position].process == process else { continue }
      let size = range.end - range.start
      let isFirstPart = calls.insert(range.call).inserted
      if let ages = owner.growthClock?.ages {
        drafts[position].sums.survivors?.add(
          bytes: Double(size), count: isFirstPart ? 1 : 0, time: range.time, ages: ages)
      }
      guard range.time <= youngest else { continue }
      drafts[position].sums.add(sizeInBytes: size, isCounted: isFirstPart, time: range.time)
      let verdict = check?.verdict(
        ofMapping: LeakBlock(address: range.start, sizeInBytes: size, time: range.time))
      if let verdict {
        drafts[position].verdicts?.add(verdict, bytes: Double(size), count: isFirstPart ? 1 : 0)
      }
      if request.listsBlocks {
        drafts[position].sums.list(
          address: range.start, sizeInBytes: size, time: range.time, now: snapshot.time, verdict: verdict)
      }
    }
  }
}

extension SiteSums {
  /// Adds the totals of one of the kernel's sites.
  mutating func addHeap(_ record: SiteRecord<lt_site>) {
    let site = record.site
    allocated += Tally(bytes: site.allocated_bytes, count: wholeBlocks(ofUnits: site.allocated_count))
    freed += Tally(bytes: site.freed_bytes, count: wholeBlocks(ofUnits: site.freed_count))
    outstanding += Tally(
      bytes: record.outstandingBytes, count: wholeBlocks(ofUnits: record.outstandingCount))
  }

  /// Adds what a site's calls have mapped and unmapped.
  mutating func add(_ totals: MappingLedger.SiteTotals) {
    allocated += totals.allocated
    freed += totals.freed
    outstanding += totals.outstanding
  }
}

/// Whole blocks, rounded, from the unit in which the programs keep counts.
func wholeBlocks(ofUnits units: UInt64) -> UInt64 {
  (units &+ 1 << (UInt64(LT_COUNT_UNIT_SHIFT) - 1)) >> UInt64(LT_COUNT_UNIT_SHIFT)
}
