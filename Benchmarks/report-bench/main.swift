// Measures how long the formats take for a large report. Hidden: `Scripts/bench report` runs it.
//
//   report-bench SITES FRAMES FORMAT   milliseconds, bytes of output, MiB of memory beside the report itself
//   report-bench SITES FRAMES read     the same of reading a recording
//   report-bench SITES FRAMES FORMAT FILE   writes the report to a file instead
import Glibc
import ReportFormats
import TraceModel

/// Stacks as a large program has them: common outer frames, many different inner ones, names of 10 to 200 characters.
func largeReport(sites: Int, frames: Int) -> Report {
  var state: UInt64 = 42
  func random(_ limit: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % limit
  }
  let functions = (0..<20_000).map {
    "app::module\($0 % 100)::Class<std::vector<int>, \($0)>::method(\(String(repeating: "x", count: $0 % 120)))"
  }
  var report = Report(
    target: Report.Target(kind: .process, processID: 1, command: "server", executable: "/opt/app/server"),
    window: Report.Window(startInUnixSeconds: 1_700_000_000, duration: .seconds(600)))
  for index in 0..<sites {
    let stack = (0..<frames).map { depth -> Frame in
      let function = depth > frames / 2 ? (frames - depth) * 7 + random(3) : random(20_000)
      // Functions call from a few places each.
      let place = random(3) * 16
      let address = UInt64(0x5555_0000_0000 + function * 256 + place)
      return Frame(
        address: address, function: functions[function], functionOffset: UInt64(place),
        module: "/opt/app/lib\(function % 20).so", moduleOffset: UInt64(function * 256 + place),
        buildID: "0123456789abcdef",
        file: "src/module\(function % 100).cpp", line: 1 + function % 900 + place, isInlined: function % 7 == 3)
    }
    let outstanding = Tally(bytes: UInt64(100_000_000 / (index + 1) + 64), count: UInt64(1 + random(50)))
    report.totals.outstanding += outstanding
    report.sites.append(
      AllocationSite(
        processID: 1, allocationClass: .heap, allocator: "malloc", outstanding: outstanding, allocated: outstanding,
        freed: Tally(), oldestAge: .seconds(5),
        stack: StackTrace(addresses: stack.filter { !$0.isInlined }.map(\.address), completeness: .complete),
        frames: stack, verdicts: [.definitelyLost: outstanding]))
  }
  report.totals.allocated = report.totals.outstanding
  report.leakChecks = [LeakCheckSummary(processID: 1, kinds: [.definitelyLost: report.totals.outstanding])]
  return report
}

/// Bytes, from `VmHWM` or `VmRSS`.
func memory(_ name: String) -> Int {
  guard let file = fopen("/proc/self/status", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix(name + ":") { return (Int(text.split(whereSeparator: { !$0.isNumber })[0]) ?? 0) * 1024 }
  }
  return 0
}

let arguments = Array(CommandLine.arguments.dropFirst())
let numbers = arguments.prefix(2).compactMap { Int($0) }
let format = arguments.count >= 3 ? ReportFormats.named(arguments[2]) : nil
guard numbers.count == 2, arguments.count <= 4, format != nil || arguments.last == "read" else {
  print("usage: report-bench SITES FRAMES FORMAT|read")
  exit(2)
}
let report = largeReport(sites: numbers[0], frames: numbers[1])
if let format, arguments.count == 4 {
  guard let file = fopen(arguments[3], "w") else {
    print("\(arguments[3]) cannot be written")
    exit(1)
  }
  let bytes = format.render(report, ReportOptions())
  fwrite(bytes, 1, bytes.count, file)
  fclose(file)
  exit(0)
}
let clock = ContinuousClock()
var size = 0
var time = Duration.zero
var before = memory("VmRSS")
if let format {
  var options = ReportOptions()
  options.text.top = nil
  time = clock.measure { size = format.render(report, options).count }
} else {
  let recording = PprofReport.render(report)
  size = recording.count
  before = memory("VmHWM")
  time = try clock.measure { _ = try ProfileFile.report(from: recording) }
}
print(
  time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000, size,
  max(0, memory("VmHWM") - before) / 1_048_576)
