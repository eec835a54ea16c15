import TraceModel

/// Folds the sites of a report by their first own frame.
struct FindingFolder {
  private let report: Report
  private let roles: FrameRoles
  private let missing: MissingRecords
  private let commands: [Int32: String]
  private let checked: Set<Int32>
  private let withUnjoinedThreads: Set<Int32>

  /// What is folded: stacks without any frame are told apart by what allocated.
  private struct Key: Hashable {
    var place: OwnFrame.Place
    var source: String?
  }

  init(report: Report, roles: FrameRoles, missing: MissingRecords) {
    self.report = report
    self.roles = roles
    self.missing = missing
    commands = Dictionary(
      report.processes.map { ($0.processID, $0.command) }, uniquingKeysWith: { first, _ in first })
    checked = Set(report.leakChecks.map(\.processID))
    withUnjoinedThreads = Set((report.threads ?? []).filter { $0.endedCount > 0 }.map(\.processID))
  }

  /// The frame of `pthread_create` where the C library allocated for a new thread. A thread that is not joined keeps its stack
  /// with what belongs to it, so that others, which are joined, need new ones: their creators are not to blame.
  private func threadCreation(of site: AllocationSite) -> Frame? {
    guard withUnjoinedThreads.contains(site.processID), let own = OwnFrame.index(in: site, roles: roles) else {
      return nil
    }
    return site.frames[..<own].first { $0.function?.contains("pthread_create") == true }
  }

  mutating func fold() -> [Finding] {
    var positions: [Key: Int] = [:]
    var members: [(frame: Frame, place: OwnFrame.Place, sites: [Int])] = []
    for (index, site) in report.sites.enumerated()
    where site.outstanding.count > 0 || site.outstanding.bytes > 0 || site.heldBeforeEnd != nil {
      let frame = threadCreation(of: site) ?? OwnFrame.frame(of: site, roles: roles)
      let place = OwnFrame.Place(frame)
      let key = Key(place: place, source: site.frames.isEmpty ? site.kernel?.cache ?? site.allocator : nil)
      if let known = positions[key] {
        members[known].sites.append(index)
      } else {
        positions[key] = members.count
        members.append((frame, place, [index]))
      }
    }
    return members.map { finding(frame: $0.frame, place: $0.place, sites: $0.sites) }
  }

  private func finding(frame: Frame, place: OwnFrame.Place, sites: [Int]) -> Finding {
    var held = Tally()
    var verdicts: [VerdictKind: Tally] = [:]
    var holders: [String: Tally] = [:]
    var heldBy: [Holder]?
    var heldBeforeEnd: Tally?
    var freedAt: [FreePlace]?
    var allocated: UInt64 = 0
    var caches: [String] = []
    for site in sites.lazy.map({ report.sites[$0] }) {
      held += site.outstanding
      if let before = site.heldBeforeEnd {
        var sum = heldBeforeEnd ?? Tally()
        sum += before
        heldBeforeEnd = sum
      }
      let isChecked = checked.contains(site.processID)
      for (kind, tally) in site.verdicts where tally.count > 0 && (kind != .unchecked || isChecked) {
        verdicts[kind, default: Tally()] += tally
      }
      for (holder, tally) in site.holders { holders[holder, default: Tally()] += tally }
      heldBy = Holder.added(heldBy, site.heldBy)
      freedAt = FreePlace.added(freedAt, of: allocated, site.freedAt, of: site.allocated.count)
      allocated &+= site.allocated.count
      if let cache = site.kernel?.cache, !caches.contains(cache) { caches.append(cache) }
    }
    let processes = processShares(of: sites)
    let evidence = Self.evidence(of: sites.map { report.sites[$0] })
    var finding = Finding(
      frame: frame, place: place,
      sites: sites.sorted { report.sites[$0].outstanding.bytes > report.sites[$1].outstanding.bytes },
      held: held, verdicts: verdicts, rate: GrowthRate.sum(processes.compactMap(\.rate)), kind: .unclear,
      shareOfGrowth: nil, processes: processes,
      holders: Self.shares(heldBy, holders), freedAt: freedAt ?? [],
      caches: caches, doubt: doubt(of: sites))
    finding.heldBeforeEnd = heldBeforeEnd
    finding.growth = evidence.map(missing.supported)
    finding.kind = kind(of: finding)
    return finding
  }

  /// The paths from roots say more than an interpreter's heap alone.
  private static func shares(_ heldBy: [Holder]?, _ heaps: [String: Tally]) -> [Finding.HolderShare] {
    if let heldBy, !heldBy.isEmpty {
      return heldBy.map { holder in
        Finding.HolderShare(
          text: holder.sentence, name: holder.name, held: holder.held,
          share: holder.share)
      }
    }
    return heaps.map { Finding.HolderShare(text: $0.key, name: $0.key, held: $0.value, share: nil) }
      .sorted { ($0.held.bytes, $1.text) > ($1.held.bytes, $0.text) }
  }

  private func kind(of finding: Finding) -> Finding.Kind {
    let lost = finding.lost
    let isReachableGrowth =
      finding.growth == .growing && lost.bytes < (finding.verdicts[.stillReachable]?.bytes ?? 0)
    if lost.count > 0, !isReachableGrowth { return .definitelyLost }
    if let possibly = finding.verdicts[.possiblyLost], possibly.count > 0, possibly.bytes >= finding.held.bytes / 2 {
      return .possiblyLost
    }
    switch finding.growth {
    case .growing: return .growing
    case .plateau: return .plateau
    case .startup: return .startup
    case .unclear, nil: return .unclear
    }
  }

  /// Only if everything is doubtful.
  private func doubt(of sites: [Int]) -> String? {
    let doubts = sites.map { report.sites[$0].kernel?.doubt }
    return doubts.contains(nil) ? nil : doubts.first ?? nil
  }

  private func processShares(of sites: [Int]) -> [Finding.ProcessShare] {
    var held: [Int32: Tally] = [:]
    var members: [Int32: [AllocationSite]] = [:]
    for site in sites.lazy.map({ report.sites[$0] }) {
      guard let shares = site.shares else {
        held[site.processID, default: Tally()] += site.outstanding
        members[site.processID, default: []].append(site)
        continue
      }
      for share in shares {
        var part = site
        part.processID = share.processID
        part.outstanding = share.outstanding
        part.growth = share.growth
        part.ownGrowth = nil
        held[share.processID, default: Tally()] += share.outstanding
        members[share.processID, default: []].append(part)
      }
    }
    return held.map { processID, tally in
      Finding.ProcessShare(
        processID: processID, command: commands[processID], held: tally, rate: Self.rate(of: members[processID] ?? []))
    }.sorted { ($0.held.bytes, $1.processID) > ($1.held.bytes, $0.processID) }
  }

  // MARK: Growth

  /// Evidence of the growth of sites of any processes together; nil where nothing is known of any.
  static func growth(of sites: [AllocationSite]) -> GrowthEvidence? {
    let rates = Dictionary(grouping: sites, by: \.processID).values.compactMap { rate(of: $0) }
    guard let rate = GrowthRate.sum(rates), let word = evidence(of: sites) else { return nil }
    let known = sites.compactMap { $0.ownGrowth ?? $0.growth }
    return GrowthEvidence(
      word: word, slopeInBytesPerSecond: rate.bytesPerSecond, lowerSlope: rate.lower, upperSlope: rate.upper,
      confidence: rate.confidence, windows: known.map(\.windows).max() ?? 0,
      generationsAlive: known.map(\.generationsAlive).max() ?? 0, survival: nil)
  }

  /// The rate of sites of one process. Where all sites of the frame were judged together that is the better answer: many
  /// stacks with a block each grow only together.
  private static func rate(of sites: [AllocationSite]) -> GrowthRate? {
    if let common = sites.first?.ownGrowth, sites.allSatisfy({ $0.ownGrowth == common }) { return GrowthRate(common) }
    return GrowthRate.sum(sites.compactMap { $0.growth.map(GrowthRate.init) })
  }

  /// The word for all of them: what grows decides, then what is unclear, and a plateau outweighs a start-up.
  private static func evidence(of sites: [AllocationSite]) -> GrowthEvidence.Word? {
    let words = sites.compactMap { ($0.ownGrowth ?? $0.growth)?.word }
    guard !words.isEmpty else { return nil }
    for word in [GrowthEvidence.Word.growing, .unclear] where words.contains(word) {
      // What is unclear of a few blocks changes nothing about the rest.
      if word == .growing || isMost(word, sites) { return word }
    }
    return words.contains(.plateau) ? .plateau : words.contains(.startup) ? .startup : .unclear
  }

  private static func isMost(_ word: GrowthEvidence.Word, _ sites: [AllocationSite]) -> Bool {
    let whole = sites.reduce(0.0) { $0 + Double($1.outstanding.bytes) }
    let part = sites.reduce(0.0) {
      $0 + (($1.ownGrowth ?? $1.growth)?.word ?? .unclear == word ? Double($1.outstanding.bytes) : 0)
    }
    return part * 10 > whole
  }
}
