import Accounting
import BPFRuntime
import CTraceABI
import Glibc
import GrowthStatistics
import KernelStatistics
import ProcessImage
import Quantities
import SystemSupport
import TraceModel

extension KernelTracer {
  /// Everything recorded so far, as one report.
  package func report(_ request: ReportRequest) -> Report {
    handleEvents()
    let now = monotonicNanoseconds()
    let records = programs.tables.sites.records().filter { !$0.isIgnored }
    // The course ends with this report.
    note(records, at: now)
    let clock = history.clock(since: startTime)
    let nth = UInt64(configuration.sampleEveryNth ?? 1)
    var drafts = records.map(KernelSiteDraft.init)
    var notes: [String] = []
    if !request.combinedOnly {
      do { try addBlocks(to: &drafts, request: request, nth: nth, clock: clock, now: now) } catch {
        notes.append("ages, processes and single blocks are missing: \(error)")
      }
    } else if request.minimumAge > .zero {
      notes.append("ages are not known without a pass over single blocks: blocks of every age are counted")
    }
    var owners = KernelOwners(tables: programs.tables)
    for index in drafts.indices { owners.regroup(&drafts[index].processes) }
    let after = KernelMemory.current()
    var caches = KernelCacheNames(tables: programs.tables, slab: after.slab)
    for index in drafts.indices { caches.fill(&drafts[index]) }
    if !wantedCaches.isEmpty { drafts.removeAll { !isWanted($0, after.slab) } }
    if nth > 1 { for index in drafts.indices { drafts[index].scaleTotals(by: nth) } }

    var report = Report(
      target: Report.Target(kind: .kernel),
      window: Report.Window(
        startInUnixSeconds: startInUnixSeconds, duration: .nanoseconds(Int64(now &- startTime))))
    addTotals(of: drafts, nth: nth, to: &report)
    var check = KernelCrossCheck(
      before: before, after: after, sources: configuration.sources.filter { isTraced($0) },
      isWhole: configuration.recordsEverything && programs.tables.level == 0)
    check.add(drafts)

    var shown: [ShownSite] = []
    var leftOut: [String: Tally] = [:]
    if !request.combinedOnly, request.minimumAge > .zero {
      for index in drafts.indices { drafts[index].sums.outstanding = drafts[index].sums.matching }
    }
    for draft in drafts.foldedByCaller() where draft.sums.outstanding.count > 0 {
      let frames = frames(of: draft)
      if !request.showsEverything, let reason = noise(draft, frames) {
        leftOut[reason, default: Tally()] += draft.sums.outstanding
      } else {
        shown.append(ShownSite(draft: draft, frames: frames, doubt: check.doubt(about: draft)))
      }
    }
    let groups = groupedForGrowth(drafts)
    if request.order == .growth {
      for index in shown.indices { shown[index].growth = growth(of: shown[index].draft, groups, clock) }
    }
    shown.sort { $0.rank(request.order) > $1.rank(request.order) }
    for site in shown.prefix(request.limit ?? .max) {
      report.sites.append(allocationSite(of: site, groups, clock, slab: after.slab, nth: nth, now: now))
    }
    for place in SiteCourse.chosen(of: report.sites) {
      report.sites[place].course = series(of: shown[place].draft, groups, clock)?.course
    }
    if let limit = request.limit, shown.count > limit {
      var beyond = Report.Omission()
      for site in shown.dropFirst(limit) {
        beyond.sites += 1
        beyond.outstanding += site.draft.sums.outstanding
      }
      report.beyondLimit = beyond
    }
    if request.includesFreed {
      report.freedSites = drafts.filter { $0.sums.outstanding.count == 0 && $0.sums.allocated.count > 0 }.map { draft in
        let site = ShownSite(draft: draft, frames: frames(of: draft), doubt: nil)
        return allocationSite(of: site, groups, clock, slab: after.slab, nth: nth, now: now)
      }
    }
    report.settings = settings(request)
    report.target.kernelRelease = KernelVersion.runningRelease
    let polled = polledSites(after)
    report.sites.append(contentsOf: polled)
    let pages = drafts.reduce(into: Tally()) { if $1.allocationClass == .pages { $0 += $1.sums.outstanding } }
    report.kernelMemory = KernelMemorySummary(
      shares: check.shares(), caches: check.changes(),
      leftOut: leftOut.map { KernelMemorySummary.LeftOut(reason: $0.key, outstanding: $0.value) }
        .sorted { ($0.outstanding.bytes, $1.reason) > ($1.outstanding.bytes, $0.reason) }, counters: counters(),
      processes: processes(of: shown), hooks: hooks(), findings: check.findings(tracedPages: pages))
    if let thinningFailure { notes.append("the table of blocks cannot be thinned: \(thinningFailure)") }
    report.notes = notes + completenessNotes()
    return report
  }

  /// A site that is worth showing.
  struct ShownSite {
    var draft: KernelSiteDraft
    var frames: [Frame]
    var doubt: String?
    var growth: GrowthEvidence?

    /// Doubtful sites come behind all others. The key breaks ties, so that two reports of the same state are the same.
    func rank(_ order: ReportRequest.Order) -> (Int, Double, UInt64, UInt64) {
      let primary: Double =
        switch order {
        case .bytes: Double(draft.sums.outstanding.bytes)
        case .count: Double(draft.sums.outstanding.count)
        case .age: -Double(draft.sums.oldest)
        case .growth: growth?.slopeInBytesPerSecond ?? 0
        }
      return (doubt == nil ? 1 : 0, primary, draft.sums.outstanding.bytes, draft.site.key)
    }
  }

  // MARK: Numbers

  private func addTotals(of drafts: [KernelSiteDraft], nth: UInt64, to report: inout Report) {
    for draft in drafts { report.totals.add(draft.sums) }
    let retired = Tally(bytes: reclamation.retired.bytes &* nth, count: reclamation.retired.count &* nth)
    report.totals.allocated += retired
    report.totals.freed += retired
    let level = programs.tables.level
    if nth > 1 || level > 0 {
      var sampling = Report.Sampling(meanInBytes: 0, everyNth: nth << UInt64(level))
      if let time = thinning?.beginTime {
        sampling.thinning = Report.Sampling.Thinning(
          begin: .nanoseconds(Int64(clamping: time &- min(time, startTime))),
          blocks: UInt64(configuration.maximumAllocations))
      }
      report.sampling = sampling
      report.totals.outstandingBytesStandardError = drafts.reduce(0) { $0 + $1.sums.variance }.squareRoot()
    }
    let counters = programs.tables.counterValues()
    report.totals.unmatchedFrees = counters[Int(LT_KERNEL_COUNTER_UNMATCHED_FREES.rawValue)]
    report.loss = losses(counters)
  }

  private func addBlocks(
    to drafts: inout [KernelSiteDraft], request: ReportRequest, nth: UInt64, clock: GrowthClock?,
    now: UInt64
  ) throws(BPFError) {
    var positions = [Int32](repeating: -1, count: programs.tables.sites.count)
    for (position, draft) in drafts.enumerated() {
      positions[draft.index] = Int32(position)
      drafts[position].sums.survivors = clock == nil ? nil : Survivors()
    }
    let age = UInt64(max(0, request.minimumAge.inNanoseconds))
    let result: Result<Void, BPFError> = drafts.withUnsafeMutableBufferPointer { drafts in
      do throws(BPFError) {
        try programs.tables.forEachBlock { block in
          guard block.site < positions.count, positions[block.site] >= 0 else { return }
          let position = Int(positions[block.site])
          if let clock {
            drafts[position].sums.survivors?.add(
              bytes: Double(block.sizeInBytes) * Double(nth << UInt64(block.level)),
              count: Double(nth << UInt64(block.level)), time: block.time, ages: clock.ages)
          }
          guard block.time &+ age <= now else { return }
          drafts[position].add(block, nth: nth << UInt64(block.level), now: now, listsBlock: request.listsBlocks)
        }
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  // MARK: Which are shown

  private func isWanted(_ draft: KernelSiteDraft, _ slab: SlabCaches) -> Bool {
    guard let name = draft.cacheName else { return false }
    return slab.aliases(of: name).contains { wantedCaches.contains($0) }
  }

  /// Why a site is no leak to look at; nil when it may be one.
  private func noise(_ draft: KernelSiteDraft, _ frames: [Frame]) -> String? {
    KernelFrames.noise(in: frames, class: draft.allocationClass)
  }

  // MARK: Growth

  /// The sites of one caller together.
  private func groupedForGrowth(_ drafts: [KernelSiteDraft]) -> [KernelSiteDraft.Group: [KernelSiteDraft]] {
    Dictionary(grouping: drafts.filter { suspects.contains($0.group) }, by: \.group)
  }

  /// Evidence of whether a site grows. What a suspect allocates once it is suspected goes to sites with call stacks. The
  /// caller's site without a stack is judged by all of its sites together, and so is a stack that has taken that site in.
  private func growth(
    of draft: KernelSiteDraft, _ groups: [KernelSiteDraft.Group: [KernelSiteDraft]], _ clock: GrowthClock?
  ) -> GrowthEvidence? {
    guard let clock else { return nil }
    var survivors = Survivors()
    for part in parts(of: draft, groups) {
      guard let own = part.sums.survivors else { return nil }
      survivors.add(own)
    }
    guard let series = series(of: draft, groups, clock) else { return nil }
    return GrowthAnalysis.evidence(series: series, survivors: survivors, clock: clock, isTracedFromStart: false)
  }

  private func parts(
    of draft: KernelSiteDraft, _ groups: [KernelSiteDraft.Group: [KernelSiteDraft]]
  ) -> [KernelSiteDraft] {
    draft.hasWholeCaller ? groups[draft.group] ?? [draft] : [draft]
  }

  /// What a site held over time; nil when it never held memory at a tick.
  private func series(
    of draft: KernelSiteDraft, _ groups: [KernelSiteDraft.Group: [KernelSiteDraft]], _ clock: GrowthClock?
  ) -> OutstandingSeries? {
    guard let clock,
      var series = history.series(
        sites: parts(of: draft, groups).map { ($0.index, $0.site.key | 1) }, clock: clock)
    else { return nil }
    if let nth = configuration.sampleEveryNth { series.bytes = series.bytes.map { $0 * Double(nth) } }
    // A call stack is known only since its caller is suspected. That there was nothing before is not part of its course.
    if !draft.hasWholeCaller { series.dropBeginning() }
    return series
  }

  // MARK: Sites

  func frames(of draft: KernelSiteDraft) -> [Frame] {
    let site = draft.site
    let addresses = site.stack_hash == 0 ? [] : programs.tables.stacks.stack(hash: site.stack_hash)?.frames ?? []
    if addresses.isEmpty {
      guard site.call_site != 0 else { return [] }
      return symbols.frames(for: StackTrace(addresses: [site.call_site], completeness: .callerOnly), leafIsExact: false)
    }
    return KernelFrames.trimmed(
      symbols.frames(for: StackTrace(addresses: addresses, completeness: .complete), leafIsExact: false),
      callSite: site.call_site)
  }

  private func allocationSite(
    of shown: ShownSite, _ groups: [KernelSiteDraft.Group: [KernelSiteDraft]], _ clock: GrowthClock?,
    slab: SlabCaches, nth: UInt64, now: UInt64
  ) -> AllocationSite {
    let draft = shown.draft
    let hasStack = draft.site.stack_hash != 0 && shown.frames.count > 0
    let largest = draft.processes.max { ($0.value.bytes, $1.key) < ($1.value.bytes, $0.key) }
    var site = AllocationSite(
      processID: largest?.key ?? 0, allocationClass: draft.allocationClass, allocator: draft.allocator,
      outstanding: draft.sums.outstanding, allocated: draft.sums.allocated, freed: draft.sums.freed,
      stack: StackTrace(
        addresses: shown.frames.map(\.address), completeness: hasStack ? .complete : .callerOnly),
      frames: shown.frames, verdicts: [.unchecked: draft.sums.outstanding], allocations: draft.sums.blocks)
    site.oldestAge = draft.sums.oldestAge(at: now)
    if nth > 1 || programs.tables.level > 0 { site.outstandingBytesStandardError = draft.sums.variance.squareRoot() }
    site.growth = shown.growth ?? growth(of: draft, groups, clock)
    // Blocks that are freed unseen look like growth.
    if shown.doubt != nil { site.growth?.word = .unclear }
    site.kernel = KernelSiteDetails(
      cache: draft.cacheName,
      aliases: draft.cacheName.map { name in slab.aliases(of: name).filter { $0 != name } } ?? [],
      isReclaimable: draft.isReclaimable, processes: shares(of: draft.processes),
      reusedCount: draft.site.reused_count, doubt: shown.doubt,
      isSuspect: shown.doubt == nil && suspects.contains(draft.group))
    site.kernel?.earlier = draft.earlier.count > 0 ? draft.earlier : nil
    return site
  }

  // MARK: Processes

  private func shares(of tallies: [Int32: Tally]) -> [KernelSiteDetails.Share] {
    tallies.map { processID, tally in
      KernelSiteDetails.Share(processID: processID, command: command(of: processID), outstanding: tally)
    }.sorted { ($0.outstanding.bytes, $1.processID) > ($1.outstanding.bytes, $0.processID) }
  }

  private func processes(of shown: [ShownSite]) -> [KernelSiteDetails.Share] {
    var tallies: [Int32: Tally] = [:]
    for site in shown where site.doubt == nil {
      for (processID, tally) in site.draft.processes { tallies[processID, default: Tally()] += tally }
    }
    return shares(of: tallies)
  }

  private func command(of processID: Int32) -> String? {
    if processID == 0 { return nil }
    if let info = try? ProcessInfo(processID: processID) { return info.command }
    return programs.tables.endedProcess(processID)?.command
  }

  private func settings(_ request: ReportRequest) -> Report.Settings {
    var settings = Report.Settings()
    settings.minimumSizeInBytes = configuration.sizes.lowerBound
    settings.maximumSizeInBytes = configuration.sizes.upperBound
    settings.minimumAge = request.combinedOnly ? .zero : request.minimumAge
    return settings
  }

  // MARK: Hooks and losses

  private func hooks() -> [KernelMemorySummary.Hook] {
    KernelHook.all.compactMap { hook in
      if let active = programs.active.first(where: { $0.hook.name == hook.name }) {
        return KernelMemorySummary.Hook(
          name: hook.name, method: active.method.rawValue, detail: active.target == hook.name ? nil : active.target)
      }
      guard let missing = programs.missing.first(where: { $0.hook.name == hook.name }) else { return nil }
      let isPolled = !isTraced(hook.source)
      return KernelMemorySummary.Hook(
        name: hook.name, method: isPolled ? KernelHook.Method.polling.rawValue : nil, detail: missing.reason)
    }
  }

  private func losses(_ counters: [UInt64]) -> [Report.LossCounter] {
    Report.LossCounter.kernelCounters(counters, areLosses: true) + [
      Report.LossCounter(
        name: "recursion_misses",
        description: "events not seen because they came while the same event was being recorded on that CPU",
        value: programs.recursionMisses)
    ]
  }

  /// What was left out, and what else the programs counted. None of it is a loss.
  private func counters() -> [Report.LossCounter] {
    Report.LossCounter.kernelCounters(programs.tables.counterValues(), areLosses: false)
  }

  private func completenessNotes() -> [String] {
    let missing = programs.missing.filter { $0.hook.importance == .completes }.map(\.hook.name)
    guard !missing.isEmpty else { return [] }
    return [
      "this kernel has no probes for \(missing.joined(separator: ", ")): blocks that are allocated in bulk are not "
        + "seen, and those that are freed in bulk or by kfree_rcu look outstanding until their address is used again"
    ]
  }
}
