/// Keeps what a watch costs below a share of one CPU: time is earned at the rate of the budget and spent by what leaktrace
/// itself uses and by what its probes cost their targets. Traces begin when enough has been earned for them and end when it
/// is spent, so the part of the time in which probes are on, the duty cycle, follows from the rate of their hits.
package struct OverheadBudget: Sendable {
  /// CPU seconds per second.
  package var share: Double
  /// CPU seconds that may be spent now; below 0 after something cost more than was thought.
  package private(set) var credit: Double
  package private(set) var spentByUs = 0.0
  package private(set) var spentByProbes = 0.0
  private var lastTime: Double
  private let firstTime: Double
  /// Moments, and what had been spent until then: from these comes the rate of the last minutes.
  private var past: [(time: Double, spent: Double)] = []

  /// What is earned in this many seconds is the most that can be saved up.
  private static let saving = 300.0
  /// How far back the present rate looks.
  package static let span = 300.0

  package init(share: Double, time: Double) {
    self.share = share
    // The budget begins with this much, because the first looks are not free.
    credit = share * 15
    lastTime = time
    firstTime = time
    past = [(time, 0)]
  }

  /// Records what was used since the last time.
  package mutating func spend(byUs: Double, byProbes: Double, at time: Double) {
    credit = min(share * Self.saving, credit + share * max(0, time - lastTime)) - byUs - byProbes
    lastTime = max(lastTime, time)
    spentByUs += byUs
    spentByProbes += byProbes
    past.append((time, spentByUs + spentByProbes))
    while past.count > 2, past[1].time <= time - Self.span { past.removeFirst() }
  }

  /// CPUs used on average over the last minutes. What starting took is spread over half a minute: the first second has no
  /// rate that says anything.
  package var recentShare: Double {
    guard let first = past.first, let last = past.last, last.time > first.time else { return 0 }
    return (last.spent - first.spent) / max(30, last.time - first.time)
  }

  /// CPUs used on average since the beginning.
  package var wholeShare: Double {
    lastTime > firstTime ? (spentByUs + spentByProbes) / (lastTime - firstTime) : 0
  }

  /// Whether a trace that is likely to cost so many CPU seconds can begin: it is saved up, and the last minutes together stay
  /// inside the budget. What was saved in quiet times is not spent beside what is earned now.
  package func canAfford(_ seconds: Double) -> Bool {
    credit >= seconds && recentlySpent + seconds <= share * Self.span
  }

  /// Whether so much can ever be saved up. Where it cannot, probes stay off and the status says so.
  package func canEverAfford(_ seconds: Double) -> Bool { share * Self.saving > seconds }

  /// Whether what is left is needed to end a trace in an orderly way.
  package func isExhausted(reserve: Double) -> Bool {
    credit < reserve || recentlySpent + reserve > Self.tolerance * share * Self.span
  }

  /// A trace that has begun may cost a little more than was thought.
  private static let tolerance = 1.1

  /// CPU seconds spent in the last minutes.
  private var recentlySpent: Double { spentByUs + spentByProbes - (past.first?.spent ?? 0) }
}

/// What traces of one target cost so far, and how they are made cheaper.
package struct TargetCost: Hashable, Sendable {
  /// Mean bytes between samples for the next trace.
  package private(set) var sampleBytes: UInt64
  /// CPU seconds that attaching took last.
  package var attachSeconds = 0.5
  /// CPU seconds that taking the probes off and naming the stacks took last.
  package var finishSeconds = 0.1
  /// Probe hits per second, and what they cost in CPUs.
  package private(set) var hitsPerSecond = 0.0
  package private(set) var cpus = 0.0
  private static let greatest: UInt64 = 64 << 20

  package init(sampleBytes: UInt64) { self.sampleBytes = sampleBytes }

  /// CPU seconds that a trace of so many seconds is likely to cost. Attaching varies: one that is begun with too little ends
  /// before it has seen anything.
  package func forecast(seconds: Double) -> Double { 1.2 * (attachSeconds + finishSeconds) + cpus * seconds }

  /// Learns from a trace. One that had to end early is sampled more thinly the next time.
  package mutating func learn(hits: UInt64, cpuSeconds: Double, seconds: Double, endedEarly: Bool) {
    guard seconds > 0 else { return }
    hitsPerSecond = Double(hits) / seconds
    cpus = cpuSeconds / seconds
    if endedEarly { sampleBytes = min(Self.greatest, sampleBytes * 4) }
  }
}
