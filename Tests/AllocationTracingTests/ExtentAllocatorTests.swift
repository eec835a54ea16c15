import Testing

@testable import AllocationTracing

@Suite struct ExtentAllocatorTests {
  @Test func runsAreDisjointAndComeBack() {
    var allocator = ExtentAllocator(count: 1000)
    var generator = SystemRandomNumberGenerator()
    var held: [Range<Int>] = []
    var owners = [Bool](repeating: false, count: 1000)
    for _ in 0..<5000 {
      if Bool.random(using: &generator), let index = held.indices.randomElement() {
        let run = held.remove(at: index)
        allocator.release(run.lowerBound, run.count)
        for unit in run { owners[unit] = false }
      } else {
        let count = Int.random(in: 1...50)
        guard let start = allocator.allocate(count) else { continue }
        #expect(!owners[start..<start + count].contains(true))
        for unit in start..<start + count { owners[unit] = true }
        held.append(start..<start + count)
      }
      #expect(allocator.freeCount == owners.count { !$0 })
    }
    for run in held { allocator.release(run.lowerBound, run.count) }
    // All neighbours have grown together again.
    #expect(allocator.allocate(1000) == 0)
    #expect(allocator.allocate(1) == nil)
  }

  @Test func nothingTakesNoRoom() {
    var allocator = ExtentAllocator(count: 0)
    #expect(allocator.allocate(0) == 0)
    #expect(allocator.allocate(1) == nil)
    allocator.release(0, 0)
    #expect(allocator.freeCount == 0)
  }
}
