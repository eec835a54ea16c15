import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import TraceModel

/// What a report of the kernel is to contain.
package struct KernelReportRequest: Sendable {
  /// Leave out blocks younger than this.
  package var minimumAge: Duration = .zero
  package var listsBlocks = false
  /// No pass over single blocks: no ages, no processes.
  package var combinedOnly = false
  package var sortsByCount = false
  package var limit: Int?
  /// Also what is left out otherwise: caches that the kernel can reclaim and pages that others account for.
  package var showsEverything = false

  package init() {}
}

extension KernelTracer {
  /// Everything recorded so far, as one report.
  package func report(_ request: KernelReportRequest) -> Report {
    let now = monotonicNanoseconds()
    let records = programs.tables.readSites()
    var drafts = records.filter { $0.site.flags & UInt32(LT_KERNEL_SITE_IGNORED.rawValue) == 0 }.map(KernelSiteDraft.init)
    var notes: [String] = []
    if !request.combinedOnly {
      do { try addBlocks(to: &drafts, request: request, now: now) } catch {
        notes.append("ages, processes and single blocks are missing: \(error)")
      }
      if request.minimumAge > .zero {
        for index in drafts.indices { drafts[index].outstanding = drafts[index].matching }
      }
    }
    let after = KernelMemory.current()
    let caches = KernelCacheNames(tables: programs.tables, slab: after.slab)
    if !wantedCaches.isEmpty { drafts.removeAll { !isWanted($0, caches) } }

    var report = Report(
      target: Report.Target(kind: .kernel),
      window: Report.Window(
        startInUnixSeconds: startInUnixSeconds, duration: .nanoseconds(Int64(now &- startTime))))
    for draft in drafts {
      report.totals.outstanding += draft.outstanding
      report.totals.allocated += draft.allocated
      report.totals.freed += draft.freed
    }
    let counters = programs.tables.counterValues()
    report.totals.unmatchedFrees = counters[Int(LT_KERNEL_COUNTER_UNMATCHED_FREES.rawValue)]
    report.loss = losses(counters)
    report.probes = activeProbes()

    var check = KernelCrossCheck(before: before, after: after, caches: caches)
    check.add(drafts)
    let interesting = drafts.filter { $0.outstanding.count > 0 }
    var shown: [(draft: KernelSiteDraft, frames: [Frame])] = []
    var leftOut: [String: Tally] = [:]
    for draft in interesting {
      let frames = frames(of: draft)
      if !request.showsEverything, let reason = noise(draft, frames, caches) {
        leftOut[reason, default: Tally()] += draft.outstanding
      } else {
        shown.append((draft, frames))
      }
    }
    shown.sort { rank($0.draft, request) > rank($1.draft, request) }
    for (draft, frames) in shown.prefix(request.limit ?? .max) {
      report.sites.append(site(from: draft, frames: frames, caches: caches, check: check, now: now))
    }
    report.kernelMemory = KernelMemorySummary(
      shares: check.shares(), caches: check.changes(),
      leftOut: leftOut.map { KernelMemorySummary.LeftOut(reason: $0.key, outstanding: $0.value) }
        .sorted { ($0.outstanding.bytes, $1.reason) > ($1.outstanding.bytes, $0.reason) })
    report.notes = notes + completenessNotes()
    return report
  }

  private func rank(_ draft: KernelSiteDraft, _ request: KernelReportRequest) -> (UInt64, UInt64, UInt64) {
    let size = request.sortsByCount ? draft.outstanding.count : draft.outstanding.bytes
    return (size, draft.outstanding.bytes, draft.site.key)
  }

  // MARK: Blocks

  private func addBlocks(
    to drafts: inout [KernelSiteDraft], request: KernelReportRequest, now: UInt64
  ) throws(BPFError) {
    var positions = [Int32](repeating: -1, count: programs.tables.siteCount)
    for (position, draft) in drafts.enumerated() { positions[draft.index] = Int32(position) }
    let age = UInt64(max(0, request.minimumAge.inNanoseconds))
    try drafts.withUnsafeMutableBufferPointerThrowing { drafts throws(BPFError) in
      try programs.tables.forEachBlock { block in
        guard block.site < positions.count, positions[block.site] >= 0, block.time &+ age <= now else { return }
        drafts[Int(positions[block.site])].add(block, now: now, listsBlock: request.listsBlocks)
      }
    }
  }

  // MARK: Which are shown

  private func isWanted(_ draft: KernelSiteDraft, _ caches: KernelCacheNames) -> Bool {
    guard let name = caches.name(of: draft.site) else { return false }
    return caches.slab.aliases(of: name).contains { wantedCaches.contains($0) }
  }

  /// Why a site is no leak to look at, or nil.
  private func noise(_ draft: KernelSiteDraft, _ frames: [Frame], _ caches: KernelCacheNames) -> String? {
    if caches.isReclaimable(draft.site) { return "caches that the kernel takes back when memory is short" }
    return KernelFrames.noise(in: frames, isPages: draft.site.class == LT_KERNEL_PAGES.rawValue)
  }

  // MARK: Sites

  private func frames(of draft: KernelSiteDraft) -> [Frame] {
    let site = draft.site
    let addresses = site.stack_hash == 0 ? [] : programs.tables.stack(hash: site.stack_hash)
    if addresses.isEmpty {
      guard site.call_site != 0 else { return [] }
      return symbols.frames(for: StackTrace(addresses: [site.call_site], completeness: .callerOnly), leafIsExact: false)
    }
    return KernelFrames.trimmed(
      symbols.frames(for: StackTrace(addresses: addresses, completeness: .complete), leafIsExact: false),
      callSite: site.call_site)
  }

  private func site(
    from draft: KernelSiteDraft, frames: [Frame], caches: KernelCacheNames, check: KernelCrossCheck, now: UInt64
  ) -> AllocationSite {
    let hasStack = draft.site.stack_hash != 0
    let largest = draft.processes.max { ($0.value.bytes, $1.key) < ($1.value.bytes, $0.key) }
    var site = AllocationSite(
      processID: largest?.key ?? 0, allocationClass: draft.allocationClass, allocator: draft.allocator,
      outstanding: draft.outstanding, allocated: draft.allocated, freed: draft.freed,
      stack: StackTrace(
        addresses: frames.map(\.address), completeness: hasStack ? .complete : .callerOnly),
      frames: frames, verdicts: [.unchecked: draft.outstanding], allocations: draft.blocks)
    if draft.oldest != .max { site.oldestAge = .nanoseconds(Int64(now &- min(now, draft.oldest))) }
    let name = caches.name(of: draft.site)
    var details = KernelSiteDetails(
      cache: name, aliases: name.map { name in caches.slab.aliases(of: name).filter { $0 != name } } ?? [],
      isReclaimable: caches.isReclaimable(draft.site), reusedCount: draft.site.reused_count)
    details.processes = draft.processes.map { processID, tally in
      KernelSiteDetails.Share(processID: processID, command: command(of: processID), outstanding: tally)
    }.sorted { ($0.outstanding.bytes, $1.processID) > ($1.outstanding.bytes, $0.processID) }
    details.doubt = check.doubt(about: draft)
    site.kernel = details
    return site
  }

  private func command(of processID: Int32) -> String? {
    if processID == 0 { return "kernel" }
    if let info = try? ProcessInfo(processID: processID) { return info.command }
    return programs.tables.endedCommand(of: processID)
  }

  // MARK: Probes and losses

  private func activeProbes() -> [Report.Probe] {
    programs.active.map {
      Report.Probe(
        function: $0.hook.name, object: "[kernel]", offset: 0, instruction: "", isEmulated: true,
        kind: Report.Probe.Kind(rawValue: $0.method) ?? .rawTracepoint)
    }
  }

  private func losses(_ counters: [UInt64]) -> [Report.LossCounter] {
    var losses = (0..<Int32(LT_KERNEL_COUNTER_MAX.rawValue)).filter { ctrace_kernel_counter_is_loss($0) }.map {
      Report.LossCounter(
        name: String(cString: ctrace_kernel_counter_name($0)),
        description: String(cString: ctrace_kernel_counter_meaning($0)), value: counters[Int($0)])
    }
    losses.append(
      Report.LossCounter(
        name: "recursion_misses",
        description: "events not seen because they came while the same event was being recorded on that CPU",
        value: programs.recursionMisses))
    return losses
  }

  private func completenessNotes() -> [String] {
    let missing = programs.missing.filter(\.hook.isOptional).map(\.hook.name)
    guard !missing.isEmpty else { return [] }
    return [
      "this kernel has no probes for \(missing.joined(separator: ", ")): blocks that are allocated in bulk are not "
        + "seen, and those that are freed in bulk or by kfree_rcu look outstanding until their address is used again"
    ]
  }
}

extension Array {
  /// `withUnsafeMutableBufferPointer` that keeps the type of what is thrown.
  mutating func withUnsafeMutableBufferPointerThrowing<Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Void
  ) throws(Failure) {
    let result: Result<Void, Failure> = withUnsafeMutableBufferPointer { buffer in
      do throws(Failure) {
        try body(buffer)
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }
}
