/// Hands out runs of equal units (pages, array elements) from a fixed number of them, first fit.
struct ExtentAllocator {
  /// Free runs, ascending, none adjacent to another.
  private var free: [Range<Int>]

  init(count: Int) { free = count > 0 ? [0..<count] : [] }

  /// Units not handed out.
  var freeCount: Int { free.reduce(0) { $0 + $1.count } }

  /// The first unit of a run of `count`, or nil if there is none. A run of 0 units is at 0.
  mutating func allocate(_ count: Int) -> Int? {
    guard count > 0 else { return 0 }
    guard let index = free.firstIndex(where: { $0.count >= count }) else { return nil }
    let run = free[index]
    if run.count == count {
      free.remove(at: index)
    } else {
      free[index] = run.lowerBound + count..<run.upperBound
    }
    return run.lowerBound
  }

  /// Takes back what `allocate` gave.
  mutating func release(_ start: Int, _ count: Int) {
    guard count > 0 else { return }
    let index = free.firstIndex { $0.lowerBound > start } ?? free.count
    free.insert(start..<start + count, at: index)
    if index + 1 < free.count, free[index].upperBound == free[index + 1].lowerBound {
      free[index] = free[index].lowerBound..<free[index + 1].upperBound
      free.remove(at: index + 1)
    }
    if index > 0, free[index - 1].upperBound == free[index].lowerBound {
      free[index - 1] = free[index - 1].lowerBound..<free[index].upperBound
      free.remove(at: index)
    }
  }
}
