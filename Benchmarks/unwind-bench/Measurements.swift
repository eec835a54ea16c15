import AllocationTracing
import CTraceABI
import ProcessImage
import UnwindHarness

/// A decimal number with so many digits after the point.
func fixed(_ value: Double, _ digits: Int) -> String {
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let rounded = Int((value * scale).rounded())
  guard digits > 0 else { return String(rounded) }
  let text = String(abs(rounded))
  let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
  return (rounded < 0 ? "-" : "") + padded.dropLast(digits) + "." + padded.suffix(digits)
}

extension Duration {
  var inMilliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15
  }
}

func mebibytes(_ bytes: Int) -> String { fixed(Double(bytes) / Double(1 << 20), 1) }

/// Converts the call-frame information of files, the best of five times each; prints the sums.
func measureConversion(_ paths: ArraySlice<String>) throws {
  var time = Duration.zero
  var bytes = 0
  var rows = 0
  for path in paths {
    let file = try ElfFile(path: path)
    var table = CFITable()
    var best = Duration.seconds(1000)
    for _ in 0..<5 {
      best = min(best, try ContinuousClock().measure { table = try CFITable(file: file) })
    }
    time += best
    bytes += table.wordCount * 4
    rows += table.rows.count
  }
  print("milliseconds \(fixed(time.inMilliseconds, 1))")
  print("mebibytes \(mebibytes(bytes))")
  print("rows \(rows)")
}

/// Loads what a trace loads before it looks at any process.
func measureLoading() throws {
  var tracer: AllocationTracer?
  let time = try ContinuousClock().measure {
    tracer = try AllocationTracer(configuration: TraceConfiguration(), discovery: .init())
  }
  withExtendedLifetime(tracer) { print("milliseconds \(fixed(time.inMilliseconds, 1))") }
}

/// Runs a program and walks its stack at every call of a function.
func measureWalks(_ options: Options) throws {
  let harness = try options.makeHarness()
  let comparison = StackComparison(harness: harness)
  let status = try harness.run(options.command) { comparison.compare($0) }
  if status != 0 { print("status \(status)") }
  let totals = try harness.totals
  func percent(_ name: String, _ count: UInt64) {
    print("\(name) \(fixed(Double(count) * 100 / Double(max(1, totals.walks)), 4))")
  }
  func nanoseconds(_ name: String, _ value: Double) { print("\(name) \(fixed(max(0, value - totals.clock), 0))") }
  print("events \(totals.events)")
  print("clock \(fixed(totals.clock, 1))")
  if totals.walks > 0 {
    percent("complete", totals.complete)
    percent("truncated", totals.truncated)
    percent("broken", totals.broken)
    percent("by_frame_pointers", totals.withFramePointers)
    print("frames \(fixed(totals.meanFrames, 1))")
    nanoseconds("walk_mean", Double(totals.nanoseconds) / Double(totals.walks))
    for (name, part) in [("walk_p10", 0.1), ("walk_median", 0.5), ("walk_p90", 0.9), ("walk_p99", 0.99)] {
      nanoseconds(name, ProbeTotals.quantile(part, of: totals.histogram))
    }
  }
  if options.configuration.kernel_walks != 0, totals.events > 0 {
    nanoseconds("kernel_mean", Double(totals.kernelNanoseconds) / Double(totals.events))
    nanoseconds("kernel_median", ProbeTotals.quantile(0.5, of: totals.kernelHistogram))
  }
  for (name, count) in try harness.counters { print("\(name) \(count)") }
  let statistics = harness.tables.statistics
  print("tables \(statistics.tables)")
  print("table_mebibytes \(mebibytes(statistics.usedTableBytes))")
  print("refreshes \(harness.refreshCount)")
  print("refresh_milliseconds \(fixed(harness.refreshTime.inMilliseconds, 1))")
  if options.configuration.sample_period > 0 {
    print("compared_equal \(comparison.equal)")
    print("compared_equal_as_far_as_the_copy_goes \(comparison.equalAsFarAsKnown)")
    print("compared_cut \(comparison.cut)")
    print("compared_different \(comparison.differences.count)")
    for difference in comparison.differences.prefix(10) { print("difference \(difference)") }
  }
  for refusal in harness.tables.refusals { print("refused \(refusal.path)") }
}
