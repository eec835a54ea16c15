import ReportAnalysis
import TraceModel

/// A screen like that of `top`: what is shown and how it answers to keys. Draws nothing itself.
package struct LiveScreen {
  /// What the keys ask of the tracer.
  package enum Action: Hashable, Sendable {
    case quit, save
  }

  package enum Order: String, CaseIterable, Sendable {
    case bytes, blocks, lost, growth, age
  }

  var report: Report?
  var headline: Headline?
  let roles = FrameRoles()
  private var order = Order.bytes
  var isPaused = false
  var showsHelp = false
  /// Positions of the sites that the filter lets through, in the order chosen.
  private(set) var visible: [Int] = []
  /// What was typed behind a slash; empty: all sites.
  private(set) var filter = ""
  private(set) var isTyping = false
  var selected = 0
  var top = 0
  /// Sites whose stacks are open, by what makes them the same in the next report.
  private(set) var open: Set<SiteIdentity> = []
  /// What each site held in the latest reports, oldest first.
  private(set) var courses: [SiteIdentity: [UInt64]] = [:]
  var message: String?
  let shorten: (String) -> String

  /// So many reports back.
  static let longestCourse = 24

  /// - Parameter shorten: makes a long function name short.
  package init(shorten: @escaping (String) -> String = { $0 }) { self.shorten = shorten }

  struct SiteIdentity: Hashable {
    var processID: Int32
    var allocator: String
    var addresses: [UInt64]
    init(_ site: AllocationSite) {
      processID = site.processID
      allocator = site.allocator + site.allocationClass.rawValue + (site.kernel?.cache ?? "")
      addresses = site.stack.addresses
    }
  }

  /// Takes the next report, unless the screen stands still.
  package mutating func show(_ report: Report) {
    guard !isPaused || self.report == nil else { return }
    self.report = report
    headline = Headline(report, Findings(report, roles: roles))
    var next: [SiteIdentity: [UInt64]] = [:]
    for site in report.sites {
      let identity = SiteIdentity(site)
      next[identity] = (courses[identity] ?? []).suffix(Self.longestCourse - 1) + [site.outstanding.bytes]
    }
    courses = next
    sort()
  }

  /// Something to say once, below the table.
  package mutating func say(_ message: String) { self.message = message }

  private mutating func sort() {
    // Doubtful sites, most of whose blocks were freed unseen, come behind all others.
    func rank(_ site: AllocationSite) -> (Int, Double, UInt64, UInt64) {
      let value: Double =
        switch order {
        case .bytes: Double(site.outstanding.bytes)
        case .blocks: Double(site.outstanding.count)
        case .lost: Double(site.verdicts.lost.bytes)
        case .growth: site.growth?.slopeInBytesPerSecond ?? -.infinity
        case .age: site.oldestAge.map { Double($0.inNanoseconds) } ?? -1
        }
      return (site.kernel?.doubt == nil ? 1 : 0, value, site.outstanding.bytes, site.stack.addresses.first ?? 0)
    }
    report?.sites.sort { rank($0) > rank($1) }
    applyFilter()
  }

  // MARK: The filter

  private mutating func applyFilter() {
    let sites = report?.sites ?? []
    let wanted = filter.lowercased()
    visible = sites.indices.filter { wanted.isEmpty || matches(sites[$0], wanted) }
    selected = max(0, min(selected, visible.count - 1))
    top = min(top, selected)
  }

  /// Whether a name that a row or its stack shows contains the text.
  private func matches(_ site: AllocationSite, _ text: String) -> Bool {
    if kind(of: site).contains(text) || site.kernel?.cache?.lowercased().contains(text) == true { return true }
    if process(of: site).lowercased().contains(text) { return true }
    return site.frames.contains { frame in
      [frame.function, frame.module, frame.file].contains { $0?.lowercased().contains(text) == true }
    }
  }

  /// Takes what is typed into the filter. Returns whether the key belonged to it.
  private mutating func type(_ key: Key) -> Bool {
    guard isTyping else { return false }
    switch key {
    case .character(let character): filter.append(character)
    case .backspace: if filter.isEmpty { isTyping = false } else { filter.removeLast() }
    case .enter: isTyping = false
    case .escape:
      isTyping = false
      filter = ""
    default: return false
    }
    applyFilter()
    return true
  }

  // MARK: Keys

  package mutating func handle(_ key: Key) -> Action? {
    message = nil
    if showsHelp {
      showsHelp = false
      return key == .character("q") ? .quit : nil
    }
    if type(key) { return nil }
    let count = visible.count
    switch key {
    case .character("q"): return .quit
    case .character("s"), .character("w"): return .save
    case .character("p"), .character(" "): isPaused.toggle()
    case .character("?"), .character("h"): showsHelp = true
    case .character("b"): setOrder(.bytes)
    case .character("c"): setOrder(.blocks)
    case .character("l"): setOrder(.lost)
    case .character("g"): setOrder(.growth)
    case .character("a"): setOrder(.age)
    case .up, .character("k"): selected = max(0, selected - 1)
    case .down, .character("j"): selected = max(0, min(count - 1, selected + 1))
    case .pageUp: selected = max(0, selected - 10)
    case .pageDown: selected = max(0, min(count - 1, selected + 10))
    case .home: selected = 0
    case .end: selected = max(0, count - 1)
    case .enter: toggle()
    case .character("/"):
      filter = ""
      isTyping = true
      applyFilter()
    case .escape:
      if filter.isEmpty { open = [] }
      filter = ""
      applyFilter()
    default: break
    }
    return nil
  }

  private mutating func setOrder(_ order: Order) {
    self.order = order
    selected = 0
    top = 0
    sort()
  }

  private mutating func toggle() {
    guard let sites = report?.sites, selected < visible.count else { return }
    let identity = SiteIdentity(sites[visible[selected]])
    if open.remove(identity) == nil { open.insert(identity) }
  }
}
