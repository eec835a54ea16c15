// Measures the stack walker. Hidden: `Scripts/bench unwind` runs it.
//
//   unwind-bench convert FILE…                  time and size of the tables of files
//   unwind-bench run [-k] [-f FUNCTION] [-l LIBRARY] [-r] -- COMMAND…
//       walks at every call of malloc (or FUNCTION in LIBRARY) in COMMAND; -k: the kernel's own walk, too; -r: at the
//       function's return; -c PERIOD: compares 1 of PERIOD stacks with libdwfl's
import CTraceABI
import Glibc
import ProcessImage
import UnwindHarness

func convert(_ paths: ArraySlice<String>) throws {
  let clock = ContinuousClock()
  for path in paths {
    let file = try ElfFile(path: path)
    var table = CFITable()
    var best = Duration.seconds(1000)
    for _ in 0..<5 {
      best = min(best, try clock.measure { table = try CFITable(file: file) })
    }
    print(
      "\(path): \(table.rows.count) rows, \(table.rules.count) rules, \(table.wordCount * 4) bytes, \(best)",
      table.statistics)
  }
}

func run(_ arguments: ArraySlice<String>) throws {
  var arguments = arguments
  var configuration = lt_probe_configuration(walks: 1, kernel_walks: 0, sample_period: 0, stops: 1)
  var function = "malloc"
  var library = "/lib/x86_64-linux-gnu/libc.so.6"
  var atReturn = false
  while let option = arguments.popFirst(), option != "--" {
    switch option {
    case "-k": configuration.kernel_walks = 1
    case "-K": configuration = .init(walks: 0, kernel_walks: 1, sample_period: 0, stops: 0)
    case "-f": function = arguments.popFirst() ?? ""
    case "-l": library = arguments.popFirst() ?? ""
    case "-r": atReturn = true
    case "-c": configuration.sample_period = arguments.popFirst().flatMap { UInt32($0) } ?? 0
    default: throw HarnessError(description: "unknown option \(option)")
    }
  }
  let clock = ContinuousClock()
  let start = clock.now
  let harness = try UnwindHarness(configuration: configuration)
  print("loaded in \(clock.now - start)")
  try harness.attach(path: library, function: function, atReturn: atReturn)
  let comparison = StackComparison(harness: harness)
  let status = try harness.run(Array(arguments)) { comparison.compare($0) }
  let totals = try harness.totals
  func percent(_ count: UInt64) -> Double { Double(count) * 100 / Double(max(1, totals.walks)) }
  func nanoseconds(_ part: Double, _ histogram: [UInt64]) -> Int {
    Int(ProbeTotals.quantile(part, of: histogram).rounded())
  }
  print("status \(status), \(totals.events) events, \(totals.stops) stops")
  print(
    "complete \(percent(totals.complete)) %, truncated \(percent(totals.truncated)) %, broken",
    "\(percent(totals.broken)) %, by frame pointers \(percent(totals.withFramePointers)) %,",
    "mean frames \(totals.meanFrames)")
  if totals.walks > 0 {
    print(
      "walk: mean \(totals.nanoseconds / totals.walks) ns, p10 \(nanoseconds(0.1, totals.histogram)), median \(nanoseconds(0.5, totals.histogram)),",
      "p90 \(nanoseconds(0.9, totals.histogram)), p99 \(nanoseconds(0.99, totals.histogram))")
  }
  if totals.kernelNanoseconds > 0 {
    print(
      "bpf_get_stackid: mean \(totals.kernelNanoseconds / totals.events) ns,",
      "median \(nanoseconds(0.5, totals.kernelHistogram))")
  }
  if configuration.sample_period > 0 { print(comparison.summary) }
  for (name, count) in try harness.counters { print("  \(name) \(count)") }
  print(harness.tables.statistics)
  print("refreshes \(harness.refreshCount), \(harness.refreshTime)")
  for refusal in harness.tables.refusals { print(refusal) }
}

var arguments = CommandLine.arguments.dropFirst()
do {
  switch arguments.popFirst() {
  case "convert": try convert(arguments)
  case "run": try run(arguments)
  default: print("usage: unwind-bench convert FILE… | run [OPTIONS] -- COMMAND…")
  }
} catch {
  print("unwind-bench: \(error)")
  exit(1)
}
