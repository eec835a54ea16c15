import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

/// What is said of files without symbols.
@Suite struct SymbolAdviceTests {
  private func report(_ modules: [(module: String, buildID: String?, bytes: UInt64)]) -> Report {
    var report = Report(target: .init(kind: .process), window: .init(startInUnixSeconds: 0, duration: .seconds(1)))
    report.sites = modules.map { module, buildID, bytes in
      var site = AllocationSite(
        processID: 1, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: bytes, count: 1),
        allocated: Tally(bytes: bytes, count: 1), freed: Tally(),
        stack: StackTrace(addresses: [], completeness: .complete))
      site.frames = [
        Frame(address: 1, module: module, buildID: buildID, unresolved: .noSymbol),
        Frame(address: 2, function: "main", module: "/usr/bin/named", buildID: "11"),
      ]
      return site
    }
    return report
  }

  /// The most memory first, three files at most, and none for frames that have names.
  @Test func chooses() throws {
    let directory = try TemporaryDirectory()
    let advice = SymbolAdvice(packages: DebianPackages(directory: directory.path))
    let files = advice.missingSymbols(
      in: report([
        ("/opt/a", "aa11", 10), ("/opt/b", "bb22", 300), ("/opt/c", nil, 200), ("/opt/d", "dd", 1),
        ("/opt/b", "bb22", 1),
        ("[vdso]", nil, 1000),
      ]))
    #expect(files.map(\.module) == ["/opt/b", "/opt/c", "/opt/a"])
    #expect(files.map(\.frames) == [2, 1, 1])
    #expect(files.allSatisfy { $0.package == nil })
    #expect(files[0].advice.hasPrefix("debuginfod-find debuginfo bb22, where DEBUGINFOD_URLS "))
    #expect(files[0].advice.hasSuffix(" put the file at /usr/lib/debug/.build-id/bb/22.debug"))
    #expect(files[1].advice == "keep its debug information when it is built (-g, no strip)")
    #expect(advice.missingSymbols(in: report([])) == [])
  }

  /// A file of this host has a package only if it is the very file that the process had.
  @Test(.enabled(if: access("/var/lib/dpkg/info/perl-base.list", R_OK) == 0 && access("/usr/bin/perl", R_OK) == 0))
  func findsThePackage() throws {
    let perl = try ElfFile(path: "/usr/bin/perl")
    let buildID = try #require(perl.buildID)
    let advice = SymbolAdvice()
    let files = advice.missingSymbols(in: report([("/usr/bin/perl", buildID, 2), ("/usr/bin/env", "0123", 1)]))
    #expect(files.map(\.package) == ["perl-base-dbgsym", nil])
    #expect(files[0].advice == "install perl-base-dbgsym (Debian's debug archive has the packages -dbgsym)")
    #expect(!SymbolAdvice.hasSymbols(perl, path: "/usr/bin/perl", processID: getpid()))
    let own = try ElfFile(path: "/proc/self/exe")
    #expect(SymbolAdvice.hasSymbols(own, path: "/proc/self/exe", processID: getpid()))
  }
}
