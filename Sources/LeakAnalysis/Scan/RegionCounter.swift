/// How many blocks start in each region, by the region's number. An open-addressed table.
final class RegionCounter: @unchecked Sendable {
  private(set) var capacity = 1 << 10
  private(set) var entries: UnsafeMutablePointer<Entry>
  private var memory: PageMemory
  private var used = 0
  private var shift: UInt64 = 64 - 10

  struct Entry: BitwiseCopyable {
    /// One more than the region's number, so that zeroed memory is empty.
    var key: UInt64
    var count: UInt32
  }

  init() {
    memory = PageMemory(of: Entry.self, count: capacity)
    entries = memory.elements(of: Entry.self)
  }

  /// The region of an entry; nil when there is none.
  func region(at place: Int) -> UInt64? {
    entries[place].key == 0 ? nil : entries[place].key - 1
  }

  @inline(__always)
  private func place(of key: UInt64) -> Int {
    var place = BlockIndex.hash(key, shift: shift)
    while entries[place].key != key && entries[place].key != 0 { place = (place &+ 1) & (capacity &- 1) }
    return place
  }

  @inline(__always)
  func add(_ region: UInt64) {
    let place = place(of: region &+ 1)
    entries[place].count &+= 1
    if entries[place].key == 0 {
      entries[place].key = region &+ 1
      used += 1
      if used * 2 > capacity { grow() }
    }
  }

  /// Counts up a region that is known already; the count before.
  @inline(__always)
  func takePlace(_ region: UInt64) -> Int {
    let place = place(of: region &+ 1)
    let count = entries[place].count
    entries[place].count = count &+ 1
    return Int(count)
  }

  @inline(never)
  private func grow() {
    let oldMemory = memory
    let old = UnsafeBufferPointer(start: entries, count: capacity)
    capacity *= 4
    shift -= 2
    memory = PageMemory(of: Entry.self, count: capacity)
    entries = memory.elements(of: Entry.self)
    withExtendedLifetime(oldMemory) {
      for entry in old where entry.key != 0 { entries[place(of: entry.key)] = entry }
    }
  }
}
