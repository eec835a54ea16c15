import Glibc
import TestTools
import Testing
import TraceModel

@testable import ReportFormats

/// The programs that these formats are for open them and print the same totals. One that is not installed is named and
/// its tests are left out.
@Suite struct ConsumerTests {
  /// 3 sites: 5,242,880 bytes in 1 block, 96 in 3 and 2,000 in 4, with the frames of real programs.
  static let report: Report = {
    var report = SyntheticReports.process
    var site = report.sites[0]
    site.outstanding = Tally(bytes: 2000, count: 4)
    site.allocated = Tally(bytes: 2500, count: 5)
    site.freed = Tally(bytes: 500, count: 1)
    site.frames[1].function = "Cache::evict(Key const&)"
    site.frames[1].address += 0x100
    site.frames[1].moduleOffset? += 0x100
    site.frames[0].address += 0x100
    site.frames[0].moduleOffset? += 0x100
    site.verdicts = [.stillReachable: Tally(bytes: 2000, count: 4)]
    site.allocations = []
    report.sites.append(site)
    return report
  }()
  static let bytes = 5_242_880 + 96 + 2000

  private func write(_ format: ReportFormat, _ report: Report = report) throws -> (TemporaryDirectory, String) {
    let directory = try TemporaryDirectory()
    return (directory, try directory.write("report." + format.suffixes[0], format.render(report, ReportOptions())))
  }

  private func tool(_ names: String...) -> String? {
    for name in names { if let path = findTool(name) ?? (access(name, X_OK) == 0 ? name : nil) { return path } }
    print("skipped: \(names[0]) is not installed")
    return nil
  }

  @Test func goToolPprof() throws {
    guard let go = tool("/usr/lib/go-1.19/bin/go") else { return }
    setenv("HOME", getenv("HOME").map { String(cString: $0) } ?? "/tmp", 0)
    let (directory, path) = try write(PprofReport.format)
    let raw = try run([go, "tool", "pprof", "-raw", path])
    #expect(raw.contains("inuse_space/bytes"))
    #expect(raw.contains("5242880"))
    let top = try run([go, "tool", "pprof", "-top", "-nodefraction=0", "-unit=B", "-sample_index=inuse_space", path])
    #expect(top.contains("% of \(Self.bytes)B total"))
    #expect(top.contains("Cache::evict"))
    let lost = try run([go, "tool", "pprof", "-top", "-unit=B", "-sample_index=definitely_lost_space", path])
    #expect(lost.contains("100% of 5242880B total"))
    let tags = try run([go, "tool", "pprof", "-tags", path])
    #expect(tags.contains("definitely_lost") && tags.contains("allocator"))
    let difference = try run([go, "tool", "pprof", "-top", "-unit=B", "-diff_base", path, path])
    #expect(difference.contains("0% of \(Self.bytes)B total"))
    _ = directory
  }

  /// The curve of massif's file ends with the total, also where stacks are not to be shown.
  @Test func massifEndsWithTheTotal() throws {
    var report = Self.report
    report.totals.outstanding = report.sites.reduce(into: Tally()) { $0 += $1.outstanding }
    let shown = report.limited(to: 1)
    #expect(shown.sites.count == 1)
    let lines = MassifReport.render(shown).split(separator: 0x0a).map { String(decoding: $0, as: UTF8.self) }
    #expect(lines.last { $0.hasPrefix("mem_heap_B=") } == "mem_heap_B=\(Self.bytes)")
    let rest = UInt64(Self.bytes) - shown.sites[0].outstanding.bytes
    #expect(lines.contains(" n0: \(rest) 0x0: [stacks that are left out]"))
    guard let program = tool("ms_print") else { return }
    let directory = try TemporaryDirectory()
    let path = try directory.write("limited.massif", MassifReport.render(shown))
    #expect(try run([program, "--threshold=0.01", path]).contains("[stacks that are left out]"))
  }

  @Test func msPrint() throws {
    guard let print = tool("ms_print") else { return }
    var report = Self.report
    report.timeline = (0..<20).map {
      Report.Moment(elapsed: .milliseconds($0 * 500), outstanding: Tally(bytes: UInt64($0) * 100_000, count: 1))
    }
    let (directory, path) = try write(MassifReport.format, report)
    let text = try run([print, path])
    #expect(text.contains("Number of snapshots: 21"))
    #expect(text.contains("5,244,976"))
    #expect(text.contains("Cache::insert(Key const&)"))
    _ = directory
  }

  @Test func heaptrackPrint() throws {
    guard let print = tool("heaptrack_print") else { return }
    let (directory, path) = try write(HeaptrackReport.format)
    let text = try run([print, "-l", "1", "-f", path])
    #expect(text.contains("total memory leaked: 5.24M"))
    #expect(text.contains("calls to allocation functions: 8 "))
    #expect(text.contains("Cache::insert(Key const&)"))
    let difference = try run([print, "-f", path, "-d", path])
    #expect(difference.contains("total memory leaked: 0B"))
    _ = directory
  }

  /// Names that try to be lines, records and commands of the formats: what the tools read is what was held, and no more.
  @Test func hostileNames() throws {
    var report = Self.report
    let names = [
      "evil\nn0: 99999999 0x0: forged", "\nsnapshot=99\ntime=99\nmem_heap_B=99999999\n", "+ 0 0 0\n+ 1\n- 0\nt ffff\n",
      "s 0 x\u{2028}y\r\ni 0 0\n", "a (b.c:1) [d] %n%s \u{0}z", String(repeating: "(<[{", count: 3000),
      "\u{202e}\u{1b}[2J#-----",
    ]
    for index in report.sites.indices {
      for frame in report.sites[index].frames.indices {
        let name = names[(index + frame) % names.count]
        report.sites[index].frames[frame].function = name
        report.sites[index].frames[frame].module = "/tmp/" + name
        report.sites[index].frames[frame].file = name
      }
    }
    report.target.command = names[1] + names[2]
    if let print = tool("ms_print") {
      let (directory, path) = try write(MassifReport.format, report)
      let text = try run([print, path])
      #expect(text.contains("5,244,976") && !text.contains("99,999,999"))
      #expect(text.contains("Number of snapshots: "))
      let (other, usual) = try write(MassifReport.format)
      let line = { (text: String) in text.split(separator: "\n").first { $0.contains("Number of snapshots: ") } }
      #expect(line(text) == line(try run([print, usual])))
      _ = (directory, other)
    }
    if let print = tool("heaptrack_print") {
      let (directory, path) = try write(HeaptrackReport.format, report)
      let text = try run([print, "-l", "1", "-f", path])
      #expect(text.contains("total memory leaked: 5.24M"))
      #expect(text.contains("calls to allocation functions: 8 "))
      _ = directory
    }
  }

  @Test func googlePprof() throws {
    guard let pprof = tool("google-pprof") else { return }
    let (directory, path) = try write(GperftoolsReport.format)
    let text = try run([pprof, "--text", "--show_bytes", "/bin/true", path])
    #expect(text.contains("Total: \(Self.bytes) B"))
    _ = directory
  }

  @Test func xmllint() throws {
    guard let lint = tool("xmllint") else { return }
    for report in [Self.report] + SyntheticReports.all.map(\.report) {
      let (directory, path) = try write(ValgrindReport.format, report)
      _ = try run([lint, "--noout", path])
      let (other, picture) = try write(FlameGraphReport.format, report)
      _ = try run([lint, "--noout", picture])
      _ = (directory, other)
    }
    let (directory, path) = try write(ValgrindReport.format)
    #expect(try run([lint, "--xpath", "sum(//leakedbytes) = \(Self.bytes)", path]).hasPrefix("true"))
    #expect(try run([lint, "--xpath", "count(//error)", path]).hasPrefix("3"))
    _ = directory
  }

  @Test func speedscopeSchema() throws {
    let document = String(decoding: SpeedscopeReport.render(Self.report), as: UTF8.self)
    guard let python = tool("python3") else { return }
    let directory = try TemporaryDirectory()
    let path = try directory.write("a.json", document)
    let script = """
      import json, sys
      d = json.load(open(sys.argv[1]))
      assert d['$schema'] == 'https://www.speedscope.app/file-format-schema.json'
      frames = d['shared']['frames']
      for p in d['profiles']:
          assert p['type'] == 'sampled' and len(p['samples']) == len(p['weights'])
          assert p['endValue'] == sum(p['weights']) and p['startValue'] == 0
          assert all(0 <= i < len(frames) for s in p['samples'] for i in s)
      assert sum(d['profiles'][0]['weights']) == \(Self.bytes) and sum(d['profiles'][1]['weights']) == 8
      assert frames[d['profiles'][0]['samples'][0][0]]['name'] == 'main'
      """
    _ = try run([python, "-c", script, path])
  }

  @Test func foldedStacks() throws {
    let text = String(decoding: FoldedReport.render(Self.report), as: UTF8.self)
    let lines = text.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(
      lines[0]
        == "main;0x7fff00000000;libplugin.so+0x2000;Cache::insert(Key const&);std::vector<int>::grow(unsigned long) 5242880"
    )
    let sum = lines.compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +)
    #expect(sum == Self.bytes)
  }
}
