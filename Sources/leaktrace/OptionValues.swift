import AllocationTracing
import ArgumentParser
import TraceModel

/// A length of time on the command line: a number in the option's own unit, or with `ms`, `s`, `m`, `h` or `d`.
enum TimeValue {
  static func parse(_ text: String, plainUnit: Duration) throws -> Duration {
    let suffixes: [(String, Duration)] = [
      ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
      ("d", .seconds(86400)),
    ]
    let match = suffixes.first { text.hasSuffix($0.0) }
    let number = text.dropLast(match?.0.utf8.count ?? 0)
    guard let value = Double(number), value >= 0, value.isFinite, value < 1e9 else {
      throw ValidationError("'\(text)' is no length of time: write 5, 500ms, 10s, 2m, 1h or 1d")
    }
    return (match?.1 ?? plainUnit) * value
  }
}

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
