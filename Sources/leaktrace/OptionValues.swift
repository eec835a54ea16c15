import AllocationTracing
import ArgumentParser
import TraceModel

/// A number of bytes on the command line: plain, or with `K`, `M`, `G` (powers of 1024).
struct ByteCount: ExpressibleByArgument {
  var value: UInt64

  init?(argument: String) {
    let factors: [Character: UInt64] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
    let factor = argument.last.flatMap { factors[Character($0.lowercased())] }
    guard let number = UInt64(factor == nil ? argument[...] : argument.dropLast()) else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: factor ?? 1)
    guard !overflow else { return nil }
    value = product
  }

  var defaultValueDescription: String { String(value) }
}

/// Sort orders; memleak calls bytes `size`.
enum SortOrder: String, ExpressibleByArgument, CaseIterable {
  case bytes, size, count, age, growth

  var order: ReportRequest.Order {
    switch self {
    case .bytes, .size: .bytes
    case .count: .count
    case .age: .age
    case .growth: .growth
    }
  }
}
