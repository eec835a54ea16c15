import Testing

@testable import Quantities

@Suite struct QuantitiesTests {
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
}
