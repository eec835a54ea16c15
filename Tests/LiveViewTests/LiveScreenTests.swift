import Testing
import TraceModel

@testable import LiveView

@Suite struct LiveScreenTests {
  private func report() -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 7, command: "server"),
      window: Report.Window(startInUnixSeconds: 0, duration: .seconds(75)))
    for index in 0..<30 {
      let outstanding = Tally(bytes: UInt64(1000 * (30 - index)), count: UInt64(index + 1))
      report.sites.append(
        AllocationSite(
          processID: 7, allocationClass: .heap, allocator: "malloc", outstanding: outstanding, allocated: outstanding,
          freed: Tally(), oldestAge: .seconds(index),
          stack: StackTrace(addresses: [UInt64(index)], completeness: .complete),
          frames: [
            Frame(address: UInt64(index), function: "f\(index)", module: "/bin/server", file: "a.c", line: index),
            Frame(address: 99, function: "main\u{1b}[31m", module: "/bin/server"),
          ]))
      report.totals.outstanding += outstanding
    }
    return report
  }

  private func plain(_ lines: [String]) -> [String] {
    lines.map { line in
      var text = line
      for code in ["\u{1b}[7m", "\u{1b}[1;7m", "\u{1b}[2m", "\u{1b}[36m", "\u{1b}[0m"] {
        text = text.split(separator: code, omittingEmptySubsequences: false).joined()
      }
      return text
    }
  }

  @Test func largestFirst() {
    var screen = LiveScreen()
    screen.show(report())
    let lines = plain(screen.lines(width: 80, height: 24))
    #expect(lines.count == 24)
    #expect(lines[0].hasPrefix("leaktrace server 7, 1m15s  CANNOT TELL"))
    #expect(lines[1].hasPrefix("outstanding 454.1K in 465 blocks"))
    #expect(lines[3].contains("f0 < main\\x1b[31m"))
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(lines.allSatisfy { !$0.contains("\u{1b}") })
  }

  /// Most of whose blocks were freed unseen: behind all others, whatever its size.
  @Test func doubtfulSitesComeLast() {
    var report = report()
    report.sites[0].kernel = KernelSiteDetails(cache: "filp", doubt: "its\u{1b} frees are not seen")
    var screen = LiveScreen()
    screen.show(report)
    var lines = plain(screen.lines(width: 80, height: 40))
    #expect(lines[3].contains("f1 <"))
    #expect(lines[32].contains("doubtful   [filp] f0 <"))
    _ = screen.handle(.end)
    _ = screen.handle(.enter)
    lines = plain(screen.lines(width: 80, height: 60))
    #expect(lines.contains("          doubtful: its\\x1b frees are not seen"))
  }

  @Test func sortKeys() {
    var screen = LiveScreen()
    screen.show(report())
    #expect(screen.handle(.character("c")) == nil)
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f29"))
    _ = screen.handle(.character("b"))
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f0"))
    _ = screen.handle(.character("a"))
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f29"))
  }

  @Test func openedStackStaysOpenInTheNextReport() {
    var screen = LiveScreen()
    screen.show(report())
    _ = screen.handle(.down)
    _ = screen.handle(.enter)
    for _ in 0..<2 {
      let lines = plain(screen.lines(width: 80, height: 24))
      #expect(lines[5].contains("f1 [server] a.c:1"))
      #expect(lines[6].contains("main\\x1b[31m [server]"))
      screen.show(report())
    }
    _ = screen.handle(.escape)
    #expect(plain(screen.lines(width: 80, height: 24))[5].contains("f2"))
  }

  @Test func paused() {
    var screen = LiveScreen()
    screen.show(report())
    _ = screen.handle(.character("p"))
    var next = report()
    next.sites.removeFirst()
    screen.show(next)
    let lines = plain(screen.lines(width: 80, height: 24))
    #expect(lines[0].hasSuffix("[paused]"))
    #expect(lines[3].contains("f0"))
    _ = screen.handle(.character("p"))
    screen.show(next)
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f1"))
  }

  /// Whatever is chosen is on the screen, also when it is small and stacks are open.
  @Test(arguments: [6, 7, 10, 24, 100]) func selectionIsVisible(height: Int) {
    var screen = LiveScreen()
    screen.show(report())
    _ = screen.handle(.enter)
    for index in 1..<30 {
      _ = screen.handle(.down)
      _ = screen.handle(.enter)
      let lines = screen.lines(width: 80, height: height)
      #expect(lines.count <= height)
      #expect(lines.contains { $0.contains("\u{1b}[1;7m") && $0.contains("f\(index) <") }, "\(index)")
    }
  }

  @Test(arguments: [(1, 1), (19, 10), (20, 4), (500, 3), (33, 7)]) func anySize(width: Int, height: Int) {
    var screen = LiveScreen()
    #expect(screen.lines(width: width, height: height).count <= max(1, height))
    screen.show(report())
    #expect(plain(screen.lines(width: width, height: height)).allSatisfy { $0.count <= max(width, 1) })
  }

  @Test func keys() {
    #expect(Key.parse(Array("q\u{1b}[A\u{1b}[6~\r\u{1b}".utf8)) == [.character("q"), .up, .pageDown, .enter, .escape])
    #expect(Key.parse(Array("\u{1b}[200~x".utf8)) == [.character("x")])
    #expect(Key.parse([0xff, 0x00, 0x1b, 0x5b]) == [])
  }

  // MARK: The filter

  /// Only rows that have what is typed in a name; the slash begins it, Enter keeps it, Escape clears it.
  @Test func filter() {
    var screen = LiveScreen()
    screen.show(report())
    for character in "/F27" { _ = screen.handle(.character(character)) }
    var lines = plain(screen.lines(width: 80, height: 24))
    #expect(lines[3].contains("f27 <") && lines[4].isEmpty)
    #expect(lines[23].hasPrefix("/F27_"))
    _ = screen.handle(.backspace)
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f2 <"))
    // A letter that is a command elsewhere is typed here.
    _ = screen.handle(.character("q"))
    #expect(plain(screen.lines(width: 80, height: 24))[3].isEmpty)
    _ = screen.handle(.backspace)
    _ = screen.handle(.enter)
    screen.show(report())
    lines = plain(screen.lines(width: 80, height: 24))
    #expect(lines[3].contains("f2 <") && lines[23].contains("filter /F2: 11 of 30"))
    _ = screen.handle(.escape)
    #expect(plain(screen.lines(width: 80, height: 24))[3].contains("f0 <"))
    #expect(screen.handle(.character("q")) == .quit)
  }

  /// A wide screen has the rate, the course and the process of each row, and the own frame comes first.
  @Test func wideScreen() {
    var screen = LiveScreen()
    for step in 1...4 {
      var report = report()
      report.processes = [7, 8].map {
        Report.ProcessTotals(processID: $0, command: "/bin/server -x", state: .running, totals: Report.Totals())
      }
      report.sites[0].outstanding.bytes = 1_000_000 * UInt64(step)
      report.sites[0].frames.insert(Frame(address: 5, function: "malloc", module: "/lib/libc.so.6"), at: 0)
      report.sites[0].growth = GrowthEvidence(
        word: .growing, slopeInBytesPerSecond: 1_000_000, lowerSlope: 900_000, upperSlope: 1_100_000, confidence: 0.95,
        windows: 40, generationsAlive: 40, survival: 1)
      screen.show(report)
    }
    let lines = plain(screen.lines(width: 200, height: 50))
    #expect(lines.count == 50 && lines.allSatisfy { $0.count <= 200 })
    #expect(lines[0].contains("GROWS  976.6 KiB/s = 3.4 GiB/h"))
    let row = lines[3]
    #expect(row.contains("+976.6 KiB/s") && row.contains("▁▃▆█") && row.contains("server 7"), "\(row)")
    #expect(row.contains("growing    f0 < main") && !row.contains("malloc"), "\(row)")
  }

  @Test func actions() {
    var screen = LiveScreen()
    #expect(screen.handle(.character("q")) == .quit)
    #expect(screen.handle(.character("s")) == .save)
    _ = screen.handle(.character("?"))
    #expect(screen.lines(width: 80, height: 24)[0] == "leaktrace, live view")
    #expect(screen.handle(.character("x")) == nil)
    #expect(plain(screen.lines(width: 80, height: 24))[0].hasPrefix("waiting"))
  }
}
