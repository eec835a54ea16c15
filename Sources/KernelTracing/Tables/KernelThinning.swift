import Accounting
import BPFRuntime
import CTraceABI

/// Makes room in the table of blocks before it is full, as ``TableThinning`` does it for programs: from a level to the next half as
/// many allocations are recorded, and half of the blocks in the table are taken out. See decision 2.
///
/// Programs that allocate in the kernel do not wait for user space, nor do they count what is in the table: that is looked at several
/// times a second instead. A third of the table is in reserve; what comes faster is refused and counted, and more room is made
/// then.
struct KernelThinning {
  /// So many blocks are kept one by one.
  let capacity: Int
  /// When the table was first thinned (CLOCK_MONOTONIC nanoseconds); nil while nothing was taken out.
  private(set) var beginTime: UInt64?
  private var nextLook: UInt64 = 0
  private var refused: UInt64 = 0
  private var random = SystemRandomNumberGenerator()

  /// How many nanoseconds lie between looks at the table.
  static let interval: UInt64 = 250_000_000

  init(capacity: Int) { self.capacity = capacity }

  /// Thins the table if it is filling.
  mutating func run(on tables: KernelTables, now: UInt64) throws(BPFError) {
    guard now >= nextLook else { return }
    nextLook = now &+ Self.interval
    let counters = tables.counterValues()
    let place = Int(LT_KERNEL_COUNTER_BLOCKS_REFUSED.rawValue)
    let refused = place < counters.count ? counters[place] : 0
    let live = tables.blockCount()
    // Single blocks can find their places taken long before the table is full.
    let isLate = refused - min(refused, self.refused) > live / 64
    self.refused = refused
    guard isLate || live > UInt64(capacity), tables.level + 1 < Int(LT_MAX_LEVELS) else { return }
    let target = UInt64(max(1, isLate ? capacity / 8 : capacity / 2))
    var steps = 1
    while steps < Int(LT_MAX_LEVELS), live >> UInt64(steps) > target { steps += 1 }
    beginTime = beginTime ?? now
    try tables.rise(by: steps) { steps in random.next() & ((1 << UInt64(steps)) - 1) == 0 }
  }
}
