import Testing
import TraceModel

@testable import ReportFormats

/// What reports say of files without symbols.
@Suite struct MissingSymbolsTests {
  private var report: Report {
    var report = SyntheticReports.process
    report.missingSymbols = [
      MissingSymbols(module: "/usr/bin/perl\u{1b}[2J", buildID: "ab", frames: 1, package: "perl-base-dbgsym"),
      MissingSymbols(module: "/opt/lib/libown.so", buildID: "abcdef", frames: 1200),
    ]
    return report
  }

  @Test func text() throws {
    let text = String(
      decoding: try #require(ReportFormats.named("text")).render(report, ReportOptions()), as: UTF8.self)
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("No names for ") }
    #expect(lines.count == 2)
    #expect(
      lines.first
        == "No names for 1 frame in /usr/bin/perl\\x1b[2J, which has no symbol table: install perl-base-dbgsym (Debian's debug archive has the packages -dbgsym)"
    )
    #expect(
      lines.last?.hasPrefix(
        "No names for 1,200 frames in /opt/lib/libown.so, which has no symbol table: debuginfod-find debuginfo abcdef, "
      )
        == true)
  }

  @Test func page() throws {
    let page = String(decoding: HTMLReport.render(report), as: UTF8.self)
    #expect(page.contains("No names for 1,200 frames in /opt/lib/libown.so, which has no symbol table: "))
    #expect(page.contains("install perl-base-dbgsym"))
  }

  /// A recording has them, too.
  @Test func recording() throws {
    let read = try ProfileFile.report(from: PprofReport.render(report))
    #expect(read.missingSymbols == report.missingSymbols)
    #expect(try ProfileFile.report(from: PprofReport.render(SyntheticReports.process)).missingSymbols == nil)
  }
}
