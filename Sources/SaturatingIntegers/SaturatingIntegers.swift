/// What the operators of integers give in this package: the nearest value that the type has, where the exact one does not fit.
///
/// Addresses, sizes and offsets come from files and memory of processes that anybody may own. Swift's own operators end the
/// program when a result does not fit, so that one number of a hostile process would end a trace. Where a sum does not fit, no
/// honest program wrote the number, and any value will do that leads to no trap; the nearest keeps the order of things: an end
/// does not lie before its start, and a size that is too large stays too large.
///
/// Package.swift has every module of the product import this one by itself, so that these operators stand in front of those of
/// the standard library; Scripts/check-arithmetic asks the compiler's index whether they do in every file.
extension FixedWidthInteger {
  @inlinable @inline(__always)
  package func saturatingSum(_ other: Self) -> Self {
    let (value, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : value
  }

  @inlinable @inline(__always)
  package func saturatingDifference(_ other: Self) -> Self {
    let (value, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : value
  }

  @inlinable @inline(__always)
  package func saturatingProduct(_ other: Self) -> Self {
    let (value, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? ((self < 0) != (other < 0) ? .min : .max) : value
  }

  /// Nothing goes into 0.
  @inlinable @inline(__always)
  package func saturatingQuotient(_ other: Self) -> Self {
    if other == 0 { return 0 }
    let (value, overflow) = dividedReportingOverflow(by: other)
    return overflow ? .max : value
  }

  @inlinable @inline(__always)
  package func saturatingRemainder(_ other: Self) -> Self {
    if other == 0 { return 0 }
    let (value, overflow) = remainderReportingOverflow(dividingBy: other)
    return overflow ? 0 : value
  }

  /// The integer nearest to a number, toward zero; 0 for what is not a number.
  @inlinable @inline(__always)
  package init(saturating number: Double) {
    if number.isNaN {
      self = 0
    } else if number >= Double(Self.max) {
      self = .max
    } else if number <= Double(Self.min) {
      self = .min
    } else {
      self = Self(exactly: number.rounded(.towardZero)) ?? 0
    }
  }
}
