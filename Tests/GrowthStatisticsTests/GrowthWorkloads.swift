import Glibc
import TraceModel

/// Courses of memory whose truth is known.
enum GrowthWorkloads {
  struct Case: Sendable {
    var name: String
    var allowed: Set<GrowthEvidence.Word>
    var seconds: Double
    var build: @Sendable (inout SyntheticWorkload) -> Void

    init(
      _ name: String, _ allowed: Set<GrowthEvidence.Word>, seconds: Double = 600,
      _ build: @escaping @Sendable (inout SyntheticWorkload) -> Void
    ) {
      self.name = name
      self.allowed = allowed
      self.seconds = seconds
      self.build = build
    }
  }

  // MARK: Leaks

  static let leaks: [Case] = [
    Case("a block a second", [.growing]) { work in
      for second in 0..<Int(work.run) { work.add(at: Double(second)) }
    },
    Case("a fast leak in a short run", [.growing], seconds: 8) { work in
      work.arrivals(rate: 100) { $0.add(at: $1) }
    },
    Case("a block a minute for a day", [.growing], seconds: 86400) { work in
      work.arrivals(rate: 1.0 / 60) { $0.add(at: $1) }
    },
    Case("one block in a hundred", [.growing]) { work in
      work.arrivals(rate: 100) { work, time in
        let isLeaked = work.uniform() < 0.01
        work.add(at: time, until: isLeaked ? .infinity : time + work.exponential(mean: 0.5))
      }
    },
    Case("slow, beneath a busy pool", [.growing]) { work in
      work.arrivals(rate: 200) { $0.add(at: $1, until: $1 + $0.exponential(mean: 2)) }
      work.arrivals(rate: 0.4) { $0.add(at: $1) }
    },
    Case("slow, above a large start-up", [.growing]) { work in
      for index in 0..<1000 { work.add(at: 0.5 + Double(index) * 1e-4, size: 100_000) }
      work.arrivals(rate: 0.5) { $0.add(at: $1) }
    },
    Case("beside a cache that is flushed", [.growing]) { work in
      for period in 0..<30 {
        for item in 0..<50 {
          work.add(at: Double(period) * 20 + Double(item) * 0.3, until: Double(period + 1) * 20)
        }
      }
      work.arrivals(rate: 1) { $0.add(at: $1) }
    },
    Case("of many sizes", [.growing]) { work in
      work.arrivals(rate: 2) { work, time in work.add(at: time, size: 16 + work.exponential(mean: 500)) }
    },
    Case("faster and faster", [.growing]) { work in
      for index in 0..<1000 { work.add(at: work.run * (Double(index) / 1000).squareRoot()) }
    },
    Case("under a load that comes and goes", [.growing]) { work in
      work.arrivals(rate: 4) { work, time in
        if work.uniform() < 0.5 + 0.4 * sin(time / work.run * 10 * .pi) { work.add(at: time) }
      }
    },
    Case("in bursts", [.growing]) { work in
      for burst in 1..<20 {
        for item in 0..<20 { work.add(at: Double(burst) * 30 + Double(item) * 0.01) }
      }
    },
    Case("attached mid-life", [.growing], seconds: 60) { work in
      work.isTracedFromStart = false
      work.arrivals(rate: 3) { $0.add(at: $1) }
    },
    Case("sessions of which one in ten stays", [.growing], seconds: 1800) { work in
      work.arrivals(rate: 1) { work, time in
        let isLeaked = work.uniform() < 0.1
        work.add(at: time, until: isLeaked ? .infinity : time + 30, size: 2048)
      }
    },
  ]

  // MARK: Not leaks

  static let benign: [Case] = [
    Case("all at the beginning", [.startup]) { work in
      work.arrivals(rate: 500, to: 2) { $0.add(at: $1, size: 1000) }
    },
    Case("all at the beginning, beside short-lived blocks", [.startup]) { work in
      for index in 0..<2000 { work.add(at: Double(index) * 1e-3, size: 1000) }
      work.arrivals(rate: 50) { $0.add(at: $1, until: $1 + $0.exponential(mean: 0.1)) }
    },
    Case("attached while it is level", [.plateau]) { work in
      work.isTracedFromStart = false
      for index in 0..<2000 { work.add(at: Double(index) * 1e-3) }
    },
    Case("a cache that fills early", [.plateau]) { work in
      for index in 0..<1000 { work.add(at: Double(index) * 0.12) }
    },
    Case("a cache that fills and replaces", [.plateau]) { work in
      // The thousand youngest stay.
      for index in 0..<5000 { work.add(at: Double(index) * 0.12, until: Double(index + 1000) * 0.12) }
    },
    Case("a cache that fills for two fifths of the run", [.plateau, .unclear]) { work in
      for index in 0..<1000 { work.add(at: Double(index) * 0.24) }
    },
    Case("a cache that is flushed, 20 times", [.plateau, .unclear]) { saw(&$0, periods: 20) },
    Case("a cache that is flushed, 6 times", [.plateau, .unclear]) { saw(&$0, periods: 6.3) },
    Case("a cache that is flushed, 3 times", [.plateau, .unclear]) { saw(&$0, periods: 2.9) },
    Case("a cache that is flushed often", [.plateau, .unclear]) { saw(&$0, periods: 200.5) },
    Case("a busy pool", [.plateau, .unclear]) { work in
      work.arrivals(rate: 100) { $0.add(at: $1, until: $1 + $0.exponential(mean: 3)) }
    },
    Case("a pool of longer lives", [.plateau, .unclear]) { work in
      work.arrivals(rate: 20) { $0.add(at: $1, until: $1 + $0.exponential(mean: 40)) }
    },
    Case("sessions that last a third of the run", [.plateau, .unclear]) { work in
      work.arrivals(rate: 20) { $0.add(at: $1, until: $1 + $0.exponential(mean: 200)) }
    },
    Case("entries that expire after half of the run", [.plateau, .unclear]) { work in
      work.arrivals(rate: 20) { $0.add(at: $1, until: $1 + 300) }
    },
    Case("a queue whose length wanders", [.plateau, .unclear]) { wander(&$0, takesLast: false) },
    Case("a stack whose height wanders", [.plateau, .unclear]) { wander(&$0, takesLast: true) },
    Case("a table of names seen, ever fewer new ones", [.plateau, .unclear]) { work in
      for index in 1..<2000 { work.add(at: exp(Double(index) / 2000 * log(work.run + 1)) - 1) }
    },
    Case("the same, slower", [.plateau, .unclear]) { work in
      for index in 1..<2000 { work.add(at: (exp(Double(index) / 2000 * log(11)) - 1) * work.run / 10) }
    },
    Case("a leak seen too shortly", [.unclear], seconds: 3) { work in
      work.arrivals(rate: 100) { $0.add(at: $1) }
    },
    Case("few blocks", [.unclear, .plateau]) { work in
      for time in [50.0, 200, 400, 520] { work.add(at: time) }
    },
    Case("freed bit by bit", [.unclear, .plateau]) { work in
      for index in 0..<1000 { work.add(at: Double(index) * 1e-3, until: Double(index) * 0.6) }
    },
    Case("one step", [.plateau, .unclear]) { work in
      for index in 0..<500 { work.add(at: Double(index) * 1e-3) }
      for index in 0..<500 { work.add(at: 310 + Double(index) * 1e-3) }
    },
    Case("all replaced at each reload", [.plateau]) { work in
      for period in 0..<5 {
        for item in 0..<500 {
          work.add(at: Double(period) * 120 + Double(item) * 1e-3, until: Double(period + 1) * 120 + 0.6)
        }
      }
    },
    Case("one array that is enlarged", [.plateau, .unclear]) { work in
      for index in 0..<600 {
        work.add(at: Double(index), until: Double(index + 1), size: Double(index + 1) * 100)
      }
    },
    Case("a load that comes and goes", [.plateau, .unclear]) { work in
      work.arrivals(rate: 40) { work, time in
        if work.uniform() < 0.5 - 0.45 * cos(time / work.run * 2 * .pi) {
          work.add(at: time, until: time + work.exponential(mean: 10))
        }
      }
    },
    Case("connections that end", [.plateau, .unclear], seconds: 20) { work in
      work.arrivals(rate: 50) { $0.add(at: $1, until: $1 + $0.exponential(mean: 0.4), size: 16384) }
    },
  ]

  /// Filled evenly and freed as a whole, again and again.
  private static func saw(_ work: inout SyntheticWorkload, periods: Double) {
    let period = work.run / periods
    work.arrivals(rate: 20) { work, time in
      work.add(at: time, until: (time / period).rounded(.down) * period + period)
    }
  }

  /// As many come as go, at random; the first or the last goes.
  private static func wander(_ work: inout SyntheticWorkload, takesLast: Bool) {
    var waiting: [Int] = []
    var head = 0
    work.arrivals(rate: 40) { work, time in
      if work.uniform() < 0.5 {
        work.add(at: time)
        waiting.append(work.blocks.count - 1)
      } else if head < waiting.count {
        work.blocks[takesLast ? waiting.removeLast() : waiting[head]].death = time
        if !takesLast { head += 1 }
      }
    }
  }
}
