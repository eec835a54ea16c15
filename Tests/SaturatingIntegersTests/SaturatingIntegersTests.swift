import SaturatingIntegers
import Testing

/// Results that do not fit, by numbers that the compiler does not know.
@Suite struct SaturatingIntegersTests {
  @Test(arguments: [(UInt64.max, UInt64(2))])
  func unsigned(greatest: UInt64, two: UInt64) {
    #expect(greatest + two == .max && two - greatest == 0 && greatest * two == .max)
    #expect(two / (two - two) == 0 && two % (two - two) == 0)
    #expect(
      greatest - two == .max - 2 && two + two == 4 && two * 3 == 6 && greatest / two == .max / 2 && greatest % two == 1)
    var number = greatest
    number += two
    #expect(number == .max)
    number -= greatest
    number -= two
    #expect(number == 0)
    #expect(Int(greatest) == .max && UInt32(greatest) == .max && UInt8(two) == 2 && Int32(greatest) == .max)
    #expect((greatest..<two).isEmpty && (greatest...two).count == 1 && (two..<5).count == 3)
  }

  @Test(arguments: [(Int.min, Int.max)])
  func signed(least: Int, greatest: Int) {
    #expect(least - 1 == .min && greatest + 1 == .max && least + greatest == -1 && -least == .max && least * -1 == .max)
    #expect(greatest * least == .min && least * least == .max && greatest - least == .max && least - greatest == .min)
    #expect(least / -1 == .max && least % -1 == 0 && greatest / 0 == 0 && greatest % 0 == 0)
    #expect(UInt64(least) == 0 && UInt8(least) == 0 && Int8(greatest) == 127 && Int8(least) == -128)
    #expect((greatest..<least).isEmpty)
  }

  @Test(arguments: [
    (Double.nan, 0), (.infinity, Int.max), (-.infinity, .min), (1e30, .max), (-7.9, -7), (7.9, 7), (0.1, 0),
  ])
  func fraction(number: Double, integer: Int) {
    #expect(Int(number) == integer)
    #expect(
      UInt64(number) == UInt64(clamping: number == 1e30 || number == .infinity ? Int.max : integer) || number > 1e18)
    #expect(number.isNaN || number < 1e18 || UInt64(number) == .max)
  }
}
