import Testing

@testable import Quantities

@Suite struct DurationTests {
  @Test func durationsForPeople() {
    let cases: [(Duration, String)] = [
      (.zero, "0.00 s"), (.milliseconds(1234), "1.23 s"), (.milliseconds(12_340), "12.3 s"),
      (.seconds(303), "5 m 03 s"), (.seconds(7500), "2 h 05 m"), (.seconds(90_000), "1 d 01 h"),
      (.seconds(-5), "0 s"),
    ]
    for (duration, text) in cases { #expect(duration.text == text) }
  }

  @Test func durationsInColumns() {
    let cases: [(Duration, String)] = [
      (.milliseconds(59_900), "59s"), (.seconds(303), "5m3s"), (.seconds(7500), "2h5m"), (.seconds(90_000), "1d1h"),
      (.seconds(-5), "0s"),
    ]
    for (duration, text) in cases { #expect(duration.shortText == text) }
  }

  @Test func exactSeconds() {
    let cases: [(Duration, String)] = [
      (.zero, "0"), (.nanoseconds(1), "0.000000001"), (.milliseconds(10_500), "10.5"),
      (.seconds(7), "7"), (.milliseconds(-1500), "-1.5"),
    ]
    for (duration, text) in cases { #expect(duration.decimalSeconds == text) }
  }

  @Test func forecasts() {
    #expect(Duration.forecastText(seconds: 7500) == "2 h 05 m")
    #expect(Duration.forecastText(seconds: 4e7) == "> 1 year")
    #expect(Duration.forecastText(seconds: 1e9) == "years")
    #expect(Duration.forecastText(seconds: .infinity) == "years")
  }

  @Test func wholeUnits() {
    #expect(Duration.milliseconds(-1500).inMilliseconds == -1500)
    #expect(Duration.nanoseconds(1_999_999).inMilliseconds == 1)
    #expect(Duration.nanoseconds(1_999_999).inNanoseconds == 1_999_999)
    #expect(Duration.seconds(Int64.max).inNanoseconds == .max)
    #expect(Duration.seconds(Int64.min).inNanoseconds == .min)
    #expect(Duration.milliseconds(250).inSeconds == 0.25)
  }

  @Test func parsesEveryUnit() {
    let cases: [(String, Duration?)] = [
      ("5", .seconds(5)), ("0", .zero), ("500ms", .milliseconds(500)), ("10s", .seconds(10)), ("2m", .seconds(120)),
      ("1.5h", .seconds(5400)), ("1d", .seconds(86_400)), ("", nil), ("s", nil), ("-1", nil), ("inf", nil),
      ("nan", nil),
      ("1e9", nil), ("5 s", nil), ("5S", nil),
    ]
    for (text, duration) in cases { #expect(Duration(parsing: text) == duration, "\(text)") }
    #expect(Duration(parsing: "5", plainUnit: .milliseconds(1)) == .milliseconds(5))
  }
}
