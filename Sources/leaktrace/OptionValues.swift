import Accounting
import AllocationTracing
import ArgumentParser
import Quantities
import TraceModel

/// A number of bytes on the command line: a plain number, or one followed by `K`, `M` or `G` (powers of 1024).
struct ByteCount: ExpressibleByArgument {
  var value: UInt64

  init?(argument: String) {
    guard let value = ByteSize.parse(argument) else { return nil }
    self.value = value
  }

  var defaultValueDescription: String { String(value) }
}

/// The orders in which sites can be sorted. `size` means the same as `bytes`; it is memleak's word.
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
