import Testing

@testable import Quantities

@Suite struct NumbersTests {
  @Test func wholeNumbers() {
    #expect(wholeNumber(2.5) == "3")
    #expect(wholeNumber(-1) == "?")
    #expect(wholeNumber(.nan) == "?")
  }

  @Test func threeDigits() {
    let cases: [(Double, String)] = [
      (0, "0"), (1234.6, "1235"), (99.94, "99.9"), (1.237, "1.24"), (0.12345, "0.123"), (-2, "-2"), (.infinity, "?"),
    ]
    for (value, text) in cases { #expect(shortNumber(value) == text) }
  }

  @Test func percentages() {
    #expect(percentText(0.1234, decimals: 1) == "12.3 %")
    #expect(percentText(0.00987, decimals: 2) == "0.99 %")
  }
}
