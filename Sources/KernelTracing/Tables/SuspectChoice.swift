import TraceModel

/// Chooses the callers whose call stacks are worth their price: those whose memory grows.
///
/// It only decides where to look more closely, and has to do so within seconds, so it rather looks once too often. Whether a
/// site leaks is judged by `GrowthAnalysis`, from the site's whole course. Called once a second.
struct SuspectChoice<Group: Hashable> {
  /// What one caller holds now.
  struct Level {
    var bytes: UInt64
    var count: UInt64
    var allocatedCount: UInt64
    /// Never a suspect: the kernel takes it back when memory is short, or it is known not to be a leak.
    var isExempt: Bool
  }

  private struct Course {
    var history = LevelHistory()

    /// Begins with nothing held, if the caller was not there at the last look.
    init(knownToBeNew: Bool) {
      if knownToBeNew {
        history.add(0)
        turnover.append((0, 0))
      }
    }

    /// Blocks held, and blocks allocated so far, at the looks that `LevelHistory.isGrowing` considers.
    private var turnover: [(held: UInt64, allocated: UInt64)] = []

    mutating func add(_ level: Level) {
      history.add(level.bytes)
      if turnover.count == LevelHistory.recentLength { turnover.removeFirst() }
      turnover.append((level.count, level.allocatedCount))
    }

    /// Whether less than a quarter of what was allocated during the last looks is still there. Then the level only moves up
    /// and down.
    var isBalancedLately: Bool {
      guard let first = turnover.first, let last = turnover.last, last.allocated > first.allocated else { return false }
      let gained = last.held - min(last.held, first.held)
      return gained < (last.allocated - first.allocated) / 4
    }

    var allocatedCount: UInt64 = 0
    var lastLook: UInt64 = 0
    /// The look at which it became a suspect; nil when it is none.
    var since: UInt64?
    /// How often it turned out not to grow. Each time makes the next suspicion take longer.
    var acquittals: UInt64 = 0
    var acquitted: UInt64 = 0
  }

  private var courses: [Group: Course] = [:]
  private var look: UInt64 = 0

  /// The most suspects at once. With more of them, stacks would be the rule and not the exception.
  static var maximumSuspects: Int { 64 }
  /// After so many looks, a suspect that has not grown costs no more stacks.
  private static var patience: UInt64 { 20 }
  /// A caller that allocates less often than this per look stays a suspect: its stacks cost next to nothing.
  private static var cheap: UInt64 { 1_000 }

  /// Which groups are suspects now, given what every group holds.
  mutating func suspects(_ levels: [Group: Level]) -> Set<Group> {
    look += 1
    var candidates: [(group: Group, growth: UInt64)] = []
    var chosen: Set<Group> = []
    for (group, level) in levels {
      var course = courses[group] ?? Course(knownToBeNew: look > 1)
      let rate = level.allocatedCount - min(level.allocatedCount, course.allocatedCount)
      course.allocatedCount = level.allocatedCount
      course.lastLook = look
      course.add(level)
      if let since = course.since {
        if look - since >= Self.patience, rate > Self.cheap, !course.history.hasGrown(inLast: Int(Self.patience)) {
          course.since = nil
          course.acquittals += 1
          course.acquitted = look
        } else {
          chosen.insert(group)
        }
      } else if !level.isExempt, look >= course.acquitted + course.acquittals * Self.patience {
        // Where nearly everything is given back, the level only moves up and down, unless it rises again and again.
        let isBalanced = level.count * 20 < level.allocatedCount || course.isBalancedLately
        if course.history.hasGrownSteadily || (course.history.isGrowing && !isBalanced) {
          candidates.append((group, course.history.growth))
        }
      }
      courses[group] = course
    }
    let room = max(0, Self.maximumSuspects - chosen.count)
    for candidate in candidates.sorted(by: { $0.growth > $1.growth }).prefix(room) {
      courses[candidate.group]?.since = look
      chosen.insert(candidate.group)
    }
    if look % 64 == 0 { courses = courses.filter { look - $0.value.lastLook < 64 } }
    return chosen
  }
}

/// Outstanding bytes of a caller at the last looks.
struct LevelHistory {
  private var levels: [UInt64] = []
  private static let length = 64
  /// How many of the last looks ``isGrowing`` considers.
  static let recentLength = 4

  mutating func add(_ bytes: UInt64) {
    if levels.count == Self.length { levels.removeFirst() }
    levels.append(bytes)
  }

  /// Whether it rose in most of the last few looks, and by at least a page in all. A level that swings falls back as far
  /// every time.
  var isGrowing: Bool {
    let recent = levels.suffix(Self.recentLength)
    guard recent.count >= 2, let first = recent.first, let last = recent.last, last >= first + 4096 else {
      return false
    }
    if recent.count == Self.recentLength, recent.suffix(2).min()! <= recent.prefix(2).min()! { return false }
    let rises = zip(recent, recent.dropFirst()).count { $0 < $1 }
    return rises * 3 >= (recent.count - 1) * 2
  }

  /// Whether the lowest level of each quarter of the time is above that of the quarter before.
  var hasGrownSteadily: Bool {
    guard levels.count >= 8 else { return false }
    let quarter = levels.count / 4
    let lows = (0..<4).map { part in levels[(part * quarter)..<((part + 1) * quarter)].min() ?? 0 }
    return zip(lows, lows.dropFirst()).allSatisfy { $0 < $1 } && lows[3] >= lows[0] + 256
  }

  /// Whether the lowest level of the last looks is above that of as many before.
  func hasGrown(inLast count: Int) -> Bool {
    guard levels.count >= 2 else { return false }
    let recent = levels.suffix(min(count, levels.count / 2))
    let before = levels.dropLast(recent.count).suffix(recent.count)
    return (recent.min() ?? 0) > (before.min() ?? 0)
  }

  /// Bytes gained over the time that is remembered.
  var growth: UInt64 {
    guard let first = levels.first, let last = levels.last, last > first else { return 0 }
    return last - first
  }
}
