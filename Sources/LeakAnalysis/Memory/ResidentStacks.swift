import ProcessImage
import TraceModel

/// What of the stacks of threads is in memory or swapped out.
package struct ResidentStacks {
  private let memory: ResidentMemory

  /// - Parameter mappings: the process's, ascending.
  package init(processID: Int32, mappings: [Mapping]) throws(ProcessError) {
    memory = try ResidentMemory(processID: processID, mappings: mappings)
  }

  package func bytes(in stack: Range<UInt64>) -> UInt64 { memory.bytes(in: stack) }
}

extension ResidentMemory {
  /// Bytes of a range that are in memory or swapped out.
  func bytes(in range: Range<UInt64>) -> UInt64 {
    var sum: UInt64 = 0
    var rest = range
    while !rest.isEmpty, let found = nextResident(in: rest), !found.isEmpty {
      sum &+= found.upperBound - found.lowerBound
      rest = min(found.upperBound, rest.upperBound)..<rest.upperBound
    }
    return sum
  }
}
