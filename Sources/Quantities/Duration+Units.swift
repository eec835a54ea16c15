extension Duration {
  /// Whole seconds and the rest. A duration that was read from a file may be too long for `components`, which ends the
  /// process then; here it is the longest one that fits.
  package var parts: (seconds: Int64, attoseconds: Int64) {
    if self > Duration(secondsComponent: .max, attosecondsComponent: 0) { return (.max, 0) }
    if self < Duration(secondsComponent: .min, attosecondsComponent: 0) { return (.min, 0) }
    return (components.seconds, components.attoseconds)
  }

  /// Whole nanoseconds, saturating.
  package var inNanoseconds: Int64 {
    let (seconds, attoseconds) = parts
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, isTooLarge) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return isTooLarge ? product : sum
  }

  /// Whole milliseconds, as memleak shows ages.
  package var inMilliseconds: Int64 {
    let (seconds, attoseconds) = parts
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, isTooLarge) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
    return isTooLarge ? product : sum
  }

  package var inSeconds: Double { self / .seconds(1) }
}
