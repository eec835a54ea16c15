// One extension for each type: an operator of a protocol would stand behind those of the standard library.

extension UInt {
  @inlinable @inline(__always) package static func + (left: UInt, right: UInt) -> UInt {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout UInt, right: UInt) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: UInt, right: UInt) -> UInt {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout UInt, right: UInt) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: UInt, right: UInt) -> UInt {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout UInt, right: UInt) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: UInt, right: UInt) -> UInt {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout UInt, right: UInt) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: UInt, right: UInt) -> UInt {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout UInt, right: UInt) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: UInt, upper: UInt) -> Range<UInt> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: UInt, upper: UInt) -> ClosedRange<
    UInt
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension UInt64 {
  @inlinable @inline(__always) package static func + (left: UInt64, right: UInt64) -> UInt64 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout UInt64, right: UInt64) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: UInt64, right: UInt64) -> UInt64 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout UInt64, right: UInt64) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: UInt64, right: UInt64) -> UInt64 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout UInt64, right: UInt64) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: UInt64, right: UInt64) -> UInt64 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout UInt64, right: UInt64) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: UInt64, right: UInt64) -> UInt64 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout UInt64, right: UInt64) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: UInt64, upper: UInt64) -> Range<
    UInt64
  > {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: UInt64, upper: UInt64)
    -> ClosedRange<UInt64>
  {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension UInt32 {
  @inlinable @inline(__always) package static func + (left: UInt32, right: UInt32) -> UInt32 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout UInt32, right: UInt32) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: UInt32, right: UInt32) -> UInt32 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout UInt32, right: UInt32) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: UInt32, right: UInt32) -> UInt32 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout UInt32, right: UInt32) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: UInt32, right: UInt32) -> UInt32 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout UInt32, right: UInt32) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: UInt32, right: UInt32) -> UInt32 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout UInt32, right: UInt32) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: UInt32, upper: UInt32) -> Range<
    UInt32
  > {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: UInt32, upper: UInt32)
    -> ClosedRange<UInt32>
  {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension UInt16 {
  @inlinable @inline(__always) package static func + (left: UInt16, right: UInt16) -> UInt16 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout UInt16, right: UInt16) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: UInt16, right: UInt16) -> UInt16 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout UInt16, right: UInt16) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: UInt16, right: UInt16) -> UInt16 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout UInt16, right: UInt16) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: UInt16, right: UInt16) -> UInt16 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout UInt16, right: UInt16) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: UInt16, right: UInt16) -> UInt16 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout UInt16, right: UInt16) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: UInt16, upper: UInt16) -> Range<
    UInt16
  > {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: UInt16, upper: UInt16)
    -> ClosedRange<UInt16>
  {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension UInt8 {
  @inlinable @inline(__always) package static func + (left: UInt8, right: UInt8) -> UInt8 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout UInt8, right: UInt8) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: UInt8, right: UInt8) -> UInt8 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout UInt8, right: UInt8) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: UInt8, right: UInt8) -> UInt8 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout UInt8, right: UInt8) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: UInt8, right: UInt8) -> UInt8 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout UInt8, right: UInt8) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: UInt8, right: UInt8) -> UInt8 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout UInt8, right: UInt8) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: UInt8, upper: UInt8) -> Range<UInt8> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: UInt8, upper: UInt8) -> ClosedRange<
    UInt8
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}
