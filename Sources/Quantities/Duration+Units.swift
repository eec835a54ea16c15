extension Duration {
  /// Whole nanoseconds, saturating.
  package var inNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    return product.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue
  }

  /// Whole milliseconds, as memleak shows ages.
  package var inMilliseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    return overflow ? seconds : product + attoseconds / 1_000_000_000_000_000
  }

  package var inSeconds: Double { self / .seconds(1) }
}
