import SystemSupport
import TestTools
import Testing
import TraceModel

@testable import ReportFormats

/// A recording must hold all of a report.
@Suite struct RecordingTests {
  @Test(arguments: SyntheticReports.all.map(\.name)) func roundTrip(name: String) throws {
    let report = try #require(SyntheticReports.all.first { $0.name == name }?.report)
    let read = try ProfileFile.report(from: PprofReport.render(report))
    #expect(
      String(decoding: JSONReport.render(read), as: UTF8.self)
        == String(decoding: JSONReport.render(report), as: UTF8.self))
    #expect(read.timeline == report.timeline)
    #expect(read.leakChecks == report.leakChecks)
  }

  /// Its own JSON is read as it was written: every format shows the same of it.
  @Test(arguments: SyntheticReports.all.map(\.name)) func jsonIsReadAgain(name: String) throws {
    var report = try #require(SyntheticReports.all.first { $0.name == name }?.report)
    // The members of a JSON object have no order.
    report.loss.sort { $0.name < $1.name }
    report.kernelMemory?.counters.sort { $0.name < $1.name }
    // What the counters mean that have counted nothing is not in it; nor are kinds that no block has.
    for index in report.loss.indices where report.loss[index].value == 0 {
      report.loss[index].description = "counted as \(report.loss[index].name)"
    }
    for index in report.sites.indices {
      report.sites[index].verdicts = report.sites[index].verdicts.filter { $0.value != Tally() }
      // JSON has no word for what is no number.
      if report.sites[index].outstandingBytesStandardError?.isFinite == false {
        report.sites[index].outstandingBytesStandardError = nil
      }
    }
    let read = try JSONReportReader.report(from: JSONReport.render(report))
    for options in [ReportOptions(), ReportOptions(text: TextOptions(showAllocations: true, showProbes: true))] {
      for format in ReportFormats.all where format.name != "pprof" {
        let (found, expected) = (format.render(read, options), format.render(report, options))
        if found == expected { continue }
        let place = max(0, (zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0) - 80)
        let (shown, wanted) = (found.dropFirst(place).prefix(200), expected.dropFirst(place).prefix(200))
        Issue.record(
          "\(format.name): \(String(decoding: shown, as: UTF8.self)) instead of \(String(decoding: wanted, as: UTF8.self))"
        )
      }
    }
  }

  /// A stack of which nothing is left is read again with what it held before, from recordings and from JSON.
  @Test func whatWasFreedAtTheEnd() throws {
    var report = SyntheticReports.process
    report.sites.removeFirst()
    (report.loss, report.totals.outstanding) = ([], Tally())
    report.sites[0].outstanding = Tally()
    report.sites[0].verdicts = [:]
    report.sites[0].heldBeforeEnd = Tally(bytes: 640, count: 10)
    report.sites[0].growth = GrowthEvidence(
      word: .growing, slopeInBytesPerSecond: 64, lowerSlope: 60, upperSlope: 68, confidence: 0.95, windows: 20,
      generationsAlive: 20, survival: nil)
    let text = String(decoding: TextReport.render(report), as: UTF8.self)
    #expect(text.contains("GROWS"))
    #expect(text.contains("growing, freed at its end"))
    #expect(text.contains("grew to 640 bytes in 10 blocks, which its process freed at its end"))
    for read in [
      try ProfileFile.report(from: PprofReport.render(report)),
      try JSONReportReader.report(from: JSONReport.render(report)),
    ] {
      #expect(read.sites[0].heldBeforeEnd == Tally(bytes: 640, count: 10))
      #expect(String(decoding: TextReport.render(read), as: UTF8.self).contains("growing, freed at its end"))
    }
  }

  @Test func leakKindsAreSampleTypes() throws {
    let bytes = try #require(Gzip.decompress(PprofReport.render(SyntheticReports.process), limit: 1 << 20))
    let profile = try PprofProfile(bytes[...])
    #expect(
      profile.types.map(\.name) == [
        "alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "definitely_lost_objects",
        "definitely_lost_space", "indirectly_lost_objects", "indirectly_lost_space", "possibly_lost_objects",
        "possibly_lost_space", "still_reachable_objects", "still_reachable_space",
      ])
    #expect(
      profile.samples.map(\.values) == [
        [1, 5_242_880, 1, 5_242_880, 1, 5_242_880, 0, 0, 0, 0, 0, 0], [4, 128, 3, 96, 0, 0, 0, 0, 0, 0, 0, 0],
      ])
    #expect(profile.samples[0].words["verdict"] == "definitely_lost")
    #expect(profile.samples[0].numbers["pid"] == 4242)
  }

  @Test func cutShort() throws {
    let whole = PprofReport.render(SyntheticReports.process)
    for count in stride(from: 0, to: whole.count, by: 7) {
      #expect(throws: Refusal.self) { try ProfileFile.report(from: Array(whole[..<count])) }
    }
    let plain = try #require(Gzip.decompress(whole, limit: 1 << 20))
    // Without gzip a profile can end after any field: what is missing shows, or it is a shorter profile.
    for count in 0..<plain.count { _ = try? ProfileFile.report(from: Array(plain[..<count])) }
  }

  @Test func damaged() throws {
    let plain = try #require(Gzip.decompress(PprofReport.render(SyntheticReports.sampledTree), limit: 1 << 20))
    var mutator = Mutator(seed: 7)
    for _ in 0..<2000 { _ = try? ProfileFile.report(from: mutator.mutate(plain, focus: [0..<plain.count])) }
  }

  @Test(arguments: ["", "x", "\u{1f}\u{8b}", "heap profile: nonsense", "{\"schema\":\"leaktrace.report/1\"}"])
  func otherFiles(text: String) {
    #expect(throws: Refusal.self) { try ProfileFile.report(from: Array(text.utf8)) }
  }

  @Test func gperftoolsText() throws {
    let report = try GperftoolsReader.report(from: GperftoolsReport.render(SyntheticReports.process))
    #expect(report.totals.outstanding == Tally(bytes: 5_242_976, count: 4))
    #expect(report.totals.allocated == Tally(bytes: 5_243_008, count: 5))
    #expect(report.sites.map(\.outstanding.bytes) == [5_242_880, 96])
    #expect(report.sites[0].frames.first?.module == "/opt/app/bin/server")
  }

  /// A sample of 1 block of 512 KiB at a period of 512 KiB was taken with probability 1 − 1/e.
  @Test func sampledGperftoolsText() throws {
    let text =
      "heap profile:      1:   524288 [     2:  1048576] @ heap_v2/524288\n  1: 524288 [2: 1048576] @ 0x10 0x20\n"
    let report = try GperftoolsReader.report(from: Array(text.utf8))
    #expect(report.totals.outstanding == Tally(bytes: 829_411, count: 2))
    #expect(report.sampling?.meanInBytes == 524_288)
  }

  @Test(
    arguments: [
      ("a.pb.gz", "pprof"), ("a.json", "json"), ("a.speedscope.json", "speedscope"), ("a.txt", "text"),
      ("a.svg", "flamegraph"),
      ("x/y.html", "html"), ("massif.out", nil), ("b.massif.out", "massif"), ("a.xml", "valgrind"), ("a", nil),
    ] as [(String, String?)]) func suffixes(path: String, name: String?)
  {
    #expect(ReportFormats.forFile(path)?.name == name)
  }
}
