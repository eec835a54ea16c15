import BPFRuntime
import CTraceABI
import Glibc
import Symbolization
import TraceModel

/// One trace of kernel allocations: owns the programs and what they recorded. Releasing it takes every probe off.
///
/// Not safe for use from several threads.
package final class KernelTracer {
  package let configuration: KernelTraceConfiguration
  let programs: KernelPrograms
  let symbols = KernelSymbols()
  /// What slabinfo and its like said when the trace began.
  package let before: KernelMemory
  let startTime: UInt64
  let startInUnixSeconds: Double
  var histories: [Int: SiteHistory] = [:]
  private var lastTick: UInt64 = 0
  /// Names of cache to all its names, for the filter.
  let wantedCaches: Set<String>

  /// Throws a ``KernelTraceError`` for what the user asked for and the kernel has not, else ``BPFError``.
  package init(configuration: KernelTraceConfiguration) throws {
    self.configuration = configuration
    before = KernelMemory.current()
    var names: Set<String> = []
    for name in configuration.cacheNames {
      guard before.slab.isKnown(name) else {
        throw KernelTraceError("--cache \(name): this kernel has no slab cache of that name; see /proc/slabinfo")
      }
      names.formUnion(before.slab.aliases(of: name))
    }
    wantedCaches = names
    var callSites: [Range<UInt64>] = []
    for name in configuration.callSites {
      guard let range = symbols.range(of: name) else {
        throw KernelTraceError("--call-site \(name): this kernel has no function of that name")
      }
      callSites.append(range)
    }
    programs = try KernelPrograms(
      configuration, interrupts: symbols.interruptEntries, callSites: callSites, cacheNames: names)
    try programs.attach(configuration)
    let required = programs.missing.filter { !$0.hook.isOptional }
    if let first = required.first {
      throw KernelTraceError("\(first.hook.source.rawValue): this kernel offers no way to see \(first.hook.name): \(first.reason)")
    }
    // Only now are the names of our own programs known, by which their frames are left out.
    symbols.reload()
    startTime = monotonicNanoseconds()
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    startInUnixSeconds = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }

  package func stop() { programs.detach() }

  /// Watches how sites grow and asks for call stacks of those that look like leaks. Call about once a second.
  package func tick() {
    let now = monotonicNanoseconds()
    guard now &- lastTick >= 900_000_000 else { return }
    lastTick = now
    for record in programs.tables.readSites() where record.site.stack_hash == 0 {
      histories[record.index, default: SiteHistory()].add(record.outstandingBytes)
    }
    if configuration.stacks == .suspects { chooseSuspects() }
  }

  private func chooseSuspects() {
    for record in programs.tables.readSites() {
      guard record.site.stack_hash == 0, record.site.flags & UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue) == 0,
        let history = histories[record.index], history.isGrowing,
        !(programs.tables.cache(record.site.cache)?.isReclaimable ?? false),
        // Nearly all of it is freed again: a site in balance whose level moves.
        record.outstandingCount * 20 >= record.site.allocated_count || history.hasGrownSteadily
      else { continue }
      programs.tables.askForStacks(ofSite: record.index)
    }
  }
}

/// What was asked for and cannot be done, in one line.
package struct KernelTraceError: Error, CustomStringConvertible {
  package var description: String
  init(_ description: String) { self.description = description }
}

/// Outstanding bytes of a site at the last ticks.
struct SiteHistory {
  private var levels: [UInt64] = []
  private static let length = 64

  mutating func add(_ bytes: UInt64) {
    if levels.count == Self.length { levels.removeFirst() }
    levels.append(bytes)
  }

  /// Rose in most of the last few ticks, and by at least a page in all.
  var isGrowing: Bool {
    let recent = levels.suffix(4)
    guard recent.count >= 2, let first = recent.first, let last = recent.last, last >= first + 4096 else { return false }
    let rises = zip(recent, recent.dropFirst()).count { $0 < $1 }
    return rises * 3 >= (recent.count - 1) * 2
  }

  /// The lowest level of each third of the time is above that of the third before.
  var hasGrownSteadily: Bool {
    guard levels.count >= 6 else { return false }
    let third = levels.count / 3
    let lows = (0..<3).map { levels[($0 * third)..<(($0 + 1) * third)].min() ?? 0 }
    return lows[0] < lows[1] && lows[1] < lows[2]
  }
}

func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
