import TraceModel

/// What each site held through the run, in at most 64 equal windows of time: its memory is bounded, and a tick costs
/// nanoseconds per site.
///
/// A window keeps the least that a site held in it, since what is freed again within a window is no growth, and how many
/// blocks the site had allocated by the window's last tick. When all windows are used, each two are merged and from then
/// on windows are twice as long.
package struct OutstandingHistory: Sendable {
  package static let maximumWindows = 64

  /// CLOCK_MONOTONIC nanoseconds of the beginning of the first window.
  package let start: UInt64
  /// Nanoseconds.
  package private(set) var windowLength: UInt64
  /// Windows begun so far, the one that lasts included.
  package private(set) var windowCount = 0
  /// When the last tick of each window was; 0 for a window without one.
  private var tickTimes = [UInt64](repeating: 0, count: maximumWindows)
  /// The current tick, counted from 1.
  private var tick: UInt32 = 0
  private var current = 0

  /// Row of a site by its index; −1 for sites that never held memory at a tick.
  private var rowOfSite: [Int32]
  private var identities: [UInt64] = []
  private var lastTicks: [UInt32] = []
  private var least: [Float] = []
  private var allocated: [Float] = []
  /// When each row held most, the latest such tick.
  private var peaks: [Peak] = []

  private struct Peak {
    var time: UInt64 = 0
    var bytes: Float = 0
    /// How many blocks the site had freed until then.
    var freed: Float = 0
  }

  /// - Parameters:
  ///   - siteCount: sites are known by indices below this.
  ///   - windowLength: of the first windows, in nanoseconds.
  package init(start: UInt64, siteCount: Int, windowLength: UInt64 = 100_000_000) {
    self.start = start
    self.windowLength = windowLength
    rowOfSite = [Int32](repeating: -1, count: siteCount)
  }

  /// When the next tick is due (CLOCK_MONOTONIC nanoseconds): once per window, and every second where they are longer.
  package var nextTick: UInt64 {
    windowCount == 0 ? start : tickTimes[current] &+ min(windowLength, 1_000_000_000)
  }

  // MARK: Recording

  /// Begins a tick. Between this and `endTick` every site that holds memory is recorded once.
  package mutating func beginTick(at time: UInt64) {
    let elapsed = time > start ? time - start : 0
    while elapsed / windowLength >= UInt64(Self.maximumWindows) { mergeWindows() }
    current = max(windowCount - 1, Int(elapsed / windowLength))
    windowCount = current + 1
    tickTimes[current] = max(time, 1)
    tick &+= 1
  }

  /// Records what a site holds now.
  ///
  /// - Parameters:
  ///   - identity: another value under the same index is another site, whose history begins here.
  ///   - freedCount: how many of its blocks have been freed so far.
  package mutating func record(
    site: Int, identity: UInt64, outstandingBytes: UInt64, allocatedCount: UInt64, freedCount: UInt64 = 0
  ) {
    var row = Int(rowOfSite[site])
    if row < 0 {
      guard outstandingBytes > 0 else { return }
      row = identities.count
      rowOfSite[site] = Int32(row)
      identities.append(identity)
      lastTicks.append(0)
      least.append(contentsOf: repeatElement(.nan, count: Self.maximumWindows))
      allocated.append(contentsOf: repeatElement(0, count: Self.maximumWindows))
      peaks.append(Peak())
    } else if identities[row] != identity {
      identities[row] = identity
      lastTicks[row] = 0
      peaks[row] = Peak()
      for place in row * Self.maximumWindows..<(row + 1) * Self.maximumWindows {
        least[place] = .nan
        allocated[place] = 0
      }
    }
    let place = row * Self.maximumWindows + current
    // `minimum` prefers a number to the NaN of a window in which the site has not been seen yet.
    least[place] = Float.minimum(least[place], Float(outstandingBytes))
    allocated[place] = Float(allocatedCount)
    lastTicks[row] = tick
    if outstandingBytes > 0, Float(outstandingBytes) >= peaks[row].bytes {
      peaks[row] = Peak(time: tickTimes[current], bytes: Float(outstandingBytes), freed: Float(freedCount))
    }
  }

  /// Ends a tick: a site that was not recorded holds nothing any more.
  package mutating func endTick() {
    for row in identities.indices where lastTicks[row] != tick {
      least[row * Self.maximumWindows + current] = 0
    }
  }

  private mutating func mergeWindows() {
    let half = Self.maximumWindows / 2
    for window in 0..<half {
      tickTimes[window] = max(tickTimes[2 * window], tickTimes[2 * window + 1])
    }
    for window in half..<Self.maximumWindows { tickTimes[window] = 0 }
    for row in identities.indices {
      let base = row * Self.maximumWindows
      for window in 0..<half {
        let first = base + 2 * window
        least[base + window] = Float.minimum(least[first], least[first + 1])
        allocated[base + window] = max(allocated[first], allocated[first + 1])
      }
      for place in base + half..<base + Self.maximumWindows {
        least[place] = .nan
        allocated[place] = 0
      }
    }
    windowLength *= 2
    windowCount = (windowCount + 1) / 2
    current = max(0, windowCount - 1)
  }

  // MARK: Reading

  /// How the run of a process divides into windows and ages; nil before the first tick in it.
  ///
  /// - Parameters:
  ///   - beginning: when the process, or its present program, began to be traced (CLOCK_MONOTONIC nanoseconds).
  ///   - end: when the process ended; nil while it runs.
  package func clock(since beginning: UInt64, until end: UInt64? = nil) -> GrowthClock? {
    let windows = (0..<windowCount).filter {
      tickTimes[$0] >= max(beginning, 1) && tickTimes[$0] <= end ?? .max
    }
    guard let first = windows.first, let last = windows.last else { return nil }
    let run = tickTimes[last] - min(tickTimes[last], beginning)
    // The youngest tenth is left out by whole windows: that is where allocations were counted.
    let oldEnough = windows.last { tickTimes[$0] <= tickTimes[last] - run / 10 }
    return GrowthClock(
      windows: windows, run: run, lastOldWindow: oldEnough,
      ages: GrowthAges(
        origin: start, windowLength: windowLength, startupEnd: max(beginning &+ run / 10, tickTimes[first]),
        oldEnd: oldEnough.map { tickTimes[$0] } ?? 0))
  }

  /// What a site that may have been known by several indices held when it held most; nil when the indices held most at different
  /// ticks, or never anything.
  package func peak(sites: [(index: Int, identity: UInt64)]) -> SitePeak? {
    var sum: SitePeak?
    for site in sites {
      let row = Int(rowOfSite[site.index])
      guard row >= 0, identities[row] == site.identity, peaks[row].time > 0 else { continue }
      let peak = peaks[row]
      guard sum == nil || sum?.time == peak.time else { return nil }
      sum = SitePeak(
        time: peak.time, bytes: (sum?.bytes ?? 0) + Double(peak.bytes),
        freedCount: (sum?.freedCount ?? 0) + Double(peak.freed)
      )
    }
    return sum
  }

  /// Survivors of which it is sure that they were alive when a site held most: those born in windows in which more were born than
  /// it had ever freed by then.
  ///
  /// - Parameter clock: of the run until the peak.
  package func certainSurvivors(
    sites: [(index: Int, identity: UInt64)], at peak: SitePeak, clock: GrowthClock
  ) -> Survivors {
    var births = [Double](repeating: 0, count: Self.maximumWindows)
    for site in sites {
      let row = Int(rowOfSite[site.index])
      guard row >= 0, identities[row] == site.identity else { continue }
      var before: Float = 0
      for window in clock.windows {
        let now = allocated[row * Self.maximumWindows + window]
        births[window] += Double(max(0, now - before))
        before = max(before, now)
      }
    }
    return Survivors(births: births, freedCount: peak.freedCount, bytes: peak.bytes)
  }

  /// The series of one site, which may have been known by several indices; nil when it never held memory at a tick.
  package func series(sites: [(index: Int, identity: UInt64)], clock: GrowthClock) -> OutstandingSeries? {
    var series = OutstandingSeries(
      seconds: clock.windows.map { (Double($0) + 0.5) * Double(windowLength) / 1e9 },
      bytes: [Double](repeating: 0, count: clock.windows.count), allocatedWithoutYoungest: 0)
    var isKnown = false
    for site in sites {
      let row = Int(rowOfSite[site.index])
      guard row >= 0, identities[row] == site.identity else { continue }
      isKnown = true
      let base = row * Self.maximumWindows
      for (place, window) in clock.windows.enumerated() where !least[base + window].isNaN {
        series.bytes[place] += Double(least[base + window])
      }
      var before: Float = 0
      for window in 0..<windowCount {
        if allocated[base + window] > before {
          before = allocated[base + window]
          series.birthWindows |= 1 << UInt64(window)
        }
        if window == clock.lastOldWindow { series.allocatedWithoutYoungest += Double(before) }
      }
    }
    return isKnown ? series : nil
  }
}

/// The most that a site has held at a tick.
package struct SitePeak: Hashable, Sendable {
  /// CLOCK_MONOTONIC nanoseconds of the latest tick at which it held as much.
  package var time: UInt64
  package var bytes: Double
  /// Blocks that it had freed until then.
  package var freedCount: Double

  /// Whether a tick was so shortly before the end of a run that what was freed after it may have been freed by ending. Ticks are
  /// a second apart at most. All are nanoseconds.
  package static func wasLately(_ time: UInt64, before end: UInt64, run: UInt64) -> Bool {
    time <= end && end - time <= max(2_000_000_000, run / 10)
  }
}

/// How one process's run divides into windows.
package struct GrowthClock: Sendable {
  /// The windows in which the process was looked at, in rising order.
  package var windows: [Int]
  /// Nanoseconds from the beginning of the process's trace to the last tick.
  package var run: UInt64
  /// The last window that is not of the youngest tenth.
  package var lastOldWindow: Int?
  package var ages: GrowthAges

  /// The run with what may have passed since the last tick: a run of five seconds has its last tick within a window of its
  /// end.
  var runWithRest: UInt64 { run &+ min(ages.windowLength, 1_000_000_000) }

  /// The windows in which blocks were first looked at, from those in which they were born. A block that was born in a window
  /// without a tick was first looked at in the next one, and one that was born after the last tick not at all.
  ///
  /// - Parameter count: only so many windows, the last of the run, belong to what is looked at.
  func observed(_ births: UInt64, inLast count: Int) -> UInt64 {
    let windows = windows.suffix(count)
    var result: UInt64 = 0
    var rest = births
    while rest != 0 {
      let birth = rest.trailingZeroBitCount
      rest &= rest - 1
      if let window = windows.first(where: { $0 >= birth }) { result |= 1 << UInt64(window) }
    }
    return result
  }
}

/// What a block's time of birth means in one process's run. Small, because every block is asked.
package struct GrowthAges: Sendable {
  /// CLOCK_MONOTONIC nanoseconds of the beginning of window 0.
  package var origin: UInt64
  package var windowLength: UInt64
  /// Blocks born until then belong to the start-up: the first tenth of the run.
  package var startupEnd: UInt64
  /// Blocks born until then are not of the youngest tenth.
  package var oldEnd: UInt64

  /// The window in which a block was born.
  package func window(of time: UInt64) -> Int {
    guard time > origin else { return 0 }
    return min(OutstandingHistory.maximumWindows - 1, Int((time - origin) / windowLength))
  }
}

/// Outstanding bytes of one site over the windows of its process's run.
package struct OutstandingSeries: Hashable, Sendable {
  /// Middle of each window, from the beginning of the trace.
  package var seconds: [Double]
  package var bytes: [Double]
  /// Blocks allocated until the youngest tenth of the run.
  package var allocatedWithoutYoungest: Double
  /// A bit for each window in which blocks were allocated.
  package var birthWindows: UInt64 = 0

  /// The same as a course to show: milliseconds and whole bytes.
  package var course: SiteCourse {
    SiteCourse(
      seconds: seconds.map { ($0 * 1000).rounded() / 1000 },
      bytes: bytes.map { $0.isFinite && $0 > 0 ? UInt64(min($0, 9e18)) : 0 })
  }

  /// Both together; they are of the same windows.
  package func adding(_ other: OutstandingSeries) -> OutstandingSeries {
    var sum = self
    for index in sum.bytes.indices where index < other.bytes.count { sum.bytes[index] += other.bytes[index] }
    sum.allocatedWithoutYoungest += other.allocatedWithoutYoungest
    sum.birthWindows |= other.birthWindows
    return sum
  }

  /// Leaves out the windows before the first in which the site held something.
  package mutating func dropBeginning() {
    let first = bytes.firstIndex { $0 > 0 } ?? bytes.count
    seconds.removeFirst(first)
    bytes.removeFirst(first)
  }

  package init(seconds: [Double], bytes: [Double], allocatedWithoutYoungest: Double) {
    self.seconds = seconds
    self.bytes = bytes
    self.allocatedWithoutYoungest = allocatedWithoutYoungest
  }
}
