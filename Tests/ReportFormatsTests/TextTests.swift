import Testing

@testable import ReportFormats

@Suite struct TextTests {
  @Test func sizesForPeople() {
    let cases: [(UInt64, String?)] = [
      (0, nil), (1023, nil), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"),
      (1_048_576, "1.0 MiB"), (5_242_880, "5.0 MiB"), (3_000_000_000, "2.8 GiB"),
      (.max, "16.0 EiB"), (1 << 60, "1.0 EiB"),
    ]
    for (bytes, text) in cases { #expect(humanBytes(bytes) == text) }
  }

  @Test func durationsForPeople() {
    let cases: [(Duration, String)] = [
      (.zero, "0.00 s"), (.milliseconds(1234), "1.23 s"), (.milliseconds(12_340), "12.3 s"),
      (.seconds(303), "5 m 03 s"), (.seconds(7500), "2 h 05 m"), (.seconds(90_000), "1 d 01 h"),
      (.seconds(-5), "0 s"),
    ]
    for (duration, text) in cases { #expect(humanDuration(duration) == text) }
  }

  @Test func exactSeconds() {
    let cases: [(Duration, String)] = [
      (.zero, "0"), (.nanoseconds(1), "0.000000001"), (.milliseconds(10_500), "10.5"),
      (.seconds(7), "7"), (.milliseconds(-1500), "-1.5"),
    ]
    for (duration, text) in cases { #expect(decimalSeconds(duration) == text) }
  }

  @Test func calendar() {
    let cases: [(Double, String?)] = [
      (0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
      (1_700_000_000.25, "2023-11-14T22:13:20.250Z"), (-1, "1969-12-31T23:59:59.000Z"),
      (4_107_542_399, "2100-02-28T23:59:59.000Z"), (.nan, nil), (.infinity, nil), (1e18, nil),
    ]
    for (seconds, text) in cases { #expect(timestamp(seconds) == text) }
  }

  @Test func escapes() {
    #expect(escapedForTerminal("plain é 漢") == "plain é 漢")
    #expect(escapedForTerminal("a\u{1b}[1m\nb\u{202e}") == "a\\x1b[1m\\x0ab\\u{202e}")
  }

  @Test func jsonNumbers() {
    var writer = JSONWriter()
    writer.array([0]) { writer, _ in
      writer.integer(UInt64.max)
      writer.number(.nan)
      writer.number(0.5)
      writer.object { $0.member("a", nil as String?) }
      writer.string("\u{1F600}\u{e0001}")
    }
    let text = String(decoding: writer.bytes, as: UTF8.self)
    #expect(text == #"[18446744073709551615,null,0.5,{"a":null},"😀\udb40\udc01"]"#)
  }

  @Test func formatsAreFoundByName() {
    #expect(ReportFormats.named("text") != nil)
    #expect(ReportFormats.named("json") != nil)
    #expect(ReportFormats.named("none") == nil)
    #expect(Set(ReportFormats.all.map(\.name)).count == ReportFormats.all.count)
  }
}
