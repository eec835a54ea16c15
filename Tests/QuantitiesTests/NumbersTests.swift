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
      (0, "0"), (1234.6, "1,235"), (99.94, "99.9"), (1.237, "1.24"), (0.12345, "0.123"), (-2, "-2"), (.infinity, "?"),
    ]
    for (value, text) in cases { #expect(shortNumber(value) == text) }
  }

  @Test func percentages() {
    #expect(percentText(0.1234, decimals: 1) == "12.3 %")
    #expect(percentText(0.00987, decimals: 2) == "0.99 %")
  }

  @Test func digitsInGroups() {
    let cases: [(Int, String)] = [
      (0, "0"), (999, "999"), (1000, "1,000"), (1_048_576, "1,048,576"), (-12_345, "-12,345"), (-999, "-999"),
      (.min, "-9,223,372,036,854,775,808"),
    ]
    for (value, text) in cases { #expect(groupedNumber(value) == text) }
    #expect(groupedNumber(UInt64.max) == "18,446,744,073,709,551,615")
    #expect(counted(1, "block") == "1 block" && counted(2500, "block") == "2,500 blocks")
    #expect(counted(0, "process", "processes") == "0 processes")
  }
}
