// One extension for each type: an operator of a protocol would stand behind those of the standard library.

extension Int {
  @inlinable @inline(__always) package static func + (left: Int, right: Int) -> Int {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout Int, right: Int) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: Int, right: Int) -> Int {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout Int, right: Int) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: Int, right: Int) -> Int {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout Int, right: Int) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: Int, right: Int) -> Int {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout Int, right: Int) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: Int, right: Int) -> Int {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout Int, right: Int) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static prefix func - (value: Int) -> Int {
    (0 as Int).saturatingDifference(value)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: Int, upper: Int) -> Range<Int> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: Int, upper: Int) -> ClosedRange<Int> {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension Int64 {
  @inlinable @inline(__always) package static func + (left: Int64, right: Int64) -> Int64 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout Int64, right: Int64) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: Int64, right: Int64) -> Int64 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout Int64, right: Int64) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: Int64, right: Int64) -> Int64 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout Int64, right: Int64) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: Int64, right: Int64) -> Int64 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout Int64, right: Int64) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: Int64, right: Int64) -> Int64 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout Int64, right: Int64) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static prefix func - (value: Int64) -> Int64 {
    (0 as Int64).saturatingDifference(value)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: Int64, upper: Int64) -> Range<Int64> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: Int64, upper: Int64) -> ClosedRange<
    Int64
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension Int32 {
  @inlinable @inline(__always) package static func + (left: Int32, right: Int32) -> Int32 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout Int32, right: Int32) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: Int32, right: Int32) -> Int32 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout Int32, right: Int32) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: Int32, right: Int32) -> Int32 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout Int32, right: Int32) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: Int32, right: Int32) -> Int32 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout Int32, right: Int32) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: Int32, right: Int32) -> Int32 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout Int32, right: Int32) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static prefix func - (value: Int32) -> Int32 {
    (0 as Int32).saturatingDifference(value)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: Int32, upper: Int32) -> Range<Int32> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: Int32, upper: Int32) -> ClosedRange<
    Int32
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension Int16 {
  @inlinable @inline(__always) package static func + (left: Int16, right: Int16) -> Int16 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout Int16, right: Int16) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: Int16, right: Int16) -> Int16 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout Int16, right: Int16) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: Int16, right: Int16) -> Int16 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout Int16, right: Int16) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: Int16, right: Int16) -> Int16 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout Int16, right: Int16) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: Int16, right: Int16) -> Int16 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout Int16, right: Int16) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static prefix func - (value: Int16) -> Int16 {
    (0 as Int16).saturatingDifference(value)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: Int16, upper: Int16) -> Range<Int16> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: Int16, upper: Int16) -> ClosedRange<
    Int16
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}

extension Int8 {
  @inlinable @inline(__always) package static func + (left: Int8, right: Int8) -> Int8 {
    left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func += (left: inout Int8, right: Int8) {
    left = left.saturatingSum(right)
  }
  @inlinable @inline(__always) package static func - (left: Int8, right: Int8) -> Int8 {
    left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func -= (left: inout Int8, right: Int8) {
    left = left.saturatingDifference(right)
  }
  @inlinable @inline(__always) package static func * (left: Int8, right: Int8) -> Int8 {
    left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func *= (left: inout Int8, right: Int8) {
    left = left.saturatingProduct(right)
  }
  @inlinable @inline(__always) package static func / (left: Int8, right: Int8) -> Int8 {
    left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func /= (left: inout Int8, right: Int8) {
    left = left.saturatingQuotient(right)
  }
  @inlinable @inline(__always) package static func % (left: Int8, right: Int8) -> Int8 {
    left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static func %= (left: inout Int8, right: Int8) {
    left = left.saturatingRemainder(right)
  }
  @inlinable @inline(__always) package static prefix func - (value: Int8) -> Int8 {
    (0 as Int8).saturatingDifference(value)
  }
  @inlinable @inline(__always) package init<Source: BinaryInteger>(_ source: Source) {
    self.init(clamping: source)
  }
  @inlinable @inline(__always) package init(_ number: Double) { self.init(saturating: number) }
  /// Empty where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ..< (lower: Int8, upper: Int8) -> Range<Int8> {
    Range(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
  /// Of one number where the upper bound lies below the lower one.
  @inlinable @inline(__always) package static func ... (lower: Int8, upper: Int8) -> ClosedRange<
    Int8
  > {
    ClosedRange(uncheckedBounds: (lower, Swift.max(lower, upper)))
  }
}
