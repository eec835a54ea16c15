import Testing

@testable import Quantities

@Suite struct ByteRateTests {
  private func text(_ bytesPerSecond: Double, per unit: ByteRate.Unit) -> String {
    ByteRate(bytesPerSecond: bytesPerSecond).text(per: unit)
  }

  @Test func slowRatesAreShownPerHour() {
    #expect(ByteRate.Unit(for: ByteRate(bytesPerSecond: 99.9)) == .hour)
    #expect(ByteRate.Unit(for: ByteRate(bytesPerSecond: -100)) == .second)
    #expect(text(0.1, per: .hour) == "360 bytes/h")
    #expect(text(99, per: .hour) == "348.0 KiB/h")
    #expect(text(2048, per: .second) == "2.0 KiB/s")
  }

  @Test func signsAndBounds() {
    #expect(text(-2048, per: .second) == "-2.0 KiB/s")
    // What rounds to nothing has no sign.
    #expect(text(-0.2, per: .second) == "0 bytes/s")
    #expect(text(.infinity, per: .second) == "?")
    #expect(text(.nan, per: .hour) == "?")
    #expect(text(1e18, per: .second) == "?")
  }

  @Test func cellsAlwaysHaveASign() {
    #expect(ByteRate(bytesPerSecond: 1).cell(per: .hour) == "+3.5 KiB")
    #expect(ByteRate(bytesPerSecond: -0.1).cell(per: .hour) == "-360 B")
    #expect(ByteRate(bytesPerSecond: 0).cell(per: .hour) == "+0 B")
    #expect(ByteRate(bytesPerSecond: -.infinity).cell(per: .hour) == "?")
  }

  @Test func perSecondAndHour() {
    #expect(ByteRate(bytesPerSecond: 857_088).secondsAndHours == "837.0 KiB/s = 2.9 GiB/h")
    #expect(ByteRate.interval(419.0 * 1024, 445.0 * 1024, per: .second) == "419.0 to 445.0 KiB/s")
    #expect(ByteRate.interval(-10, 2048, per: .second) == "-10 bytes/s to 2.0 KiB/s")
    #expect(ByteRate.compactInterval(429_056, 455_680, beside: 447_488, per: .second) == "419–445")
    #expect(ByteRate.compactInterval(973, 1945.6, beside: 1433.6, per: .second) == "1.0–1.9")
    #expect(ByteRate.compactInterval(-20, 512, beside: 300, per: .second) == "-20–512")
    #expect(ByteRate.compactInterval(-.infinity, .nan, beside: 1, per: .second) == "?–?")
    #expect(ByteRate.interval(-.infinity, .nan, per: .hour) == "? to ?")
  }
}
