import CTraceABI
import TraceModel

extension Report.LossCounter {
  /// The counters of a list of `CTraceABI` for which `isIncluded` is true, with their values.
  private static func list(
    _ values: [UInt64], count: UInt32, isIncluded: (Int32) -> Bool, name: (Int32) -> UnsafePointer<CChar>?,
    meaning: (Int32) -> UnsafePointer<CChar>?
  ) -> [Report.LossCounter] {
    (0..<Int32(count)).filter(isIncluded).map {
      Report.LossCounter(
        name: String(cString: name($0)!), description: String(cString: meaning($0)!), value: values[Int($0)])
    }
  }

  /// Every cause of loss of a program's trace, 0 included.
  package static func losses(_ values: [UInt64]) -> [Report.LossCounter] {
    list(
      values, count: LT_COUNTER_MAX.rawValue, isIncluded: ctrace_counter_is_loss, name: ctrace_counter_name,
      meaning: ctrace_counter_meaning)
  }

  /// Every cause of loss of a trace of the kernel or, if not `areLosses`, everything else that its programs count.
  package static func kernelCounters(_ values: [UInt64], areLosses: Bool) -> [Report.LossCounter] {
    list(
      values, count: LT_KERNEL_COUNTER_MAX.rawValue, isIncluded: { ctrace_kernel_counter_is_loss($0) == areLosses },
      name: ctrace_kernel_counter_name, meaning: ctrace_kernel_counter_meaning)
  }
}
