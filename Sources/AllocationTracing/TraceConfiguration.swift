import Glibc

/// What a trace records, fixed when its programs are loaded.
package struct TraceConfiguration: Sendable {
  /// Blocks outside this range are not recorded (`-z`, `-Z`).
  package var sizes: ClosedRange<UInt64> = 0...UInt64.max
  /// Mean bytes between Poisson samples; nil records every block.
  package var sampleMeanInBytes: UInt64?
  /// memleak's `-s N`: one block in N, at random; nil records every block.
  package var sampleEveryNth: UInt32?
  /// How many blocks can be outstanding at once and be recorded one by one. When there are more, a sample of them is kept.
  package var maximumAllocations: Int
  /// Whether blocks beyond `maximumAllocations` are refused and counted instead.
  package var refusesBeyondMaximum = false
  /// How many distinct call stacks can be kept. Further ones are refused and counted.
  package var maximumSites: Int
  /// How many processes are traced at a time, at most. See decision 20.
  package var maximumProcesses = 128
  /// The most kernel memory that the stack walker's tables may take, in bytes. It is allocated as it is needed.
  package var maximumUnwindTableBytes = 16 << 20
  /// Trace children of the traced processes too.
  package var followsForks = true
  /// Count what processes held that have ended, in the course of the trace as reports with `includesEnded` do.
  package var countsEnded = false
  /// Record ranges that the program maps itself.
  package var tracesMappings = true
  /// Keep apart what different threads allocate.
  package var separatesThreads = false
  /// Report every allocation and free as it happens (`-t`).
  package var emitsEvents = false
  /// Place probes at the first byte of functions even where the kernel then has to single-step, as in `free`. For measuring
  /// what better probe sites save.
  package var probesFunctionEntries = false
  /// Use per-probe perf events even where the kernel has multi links. For tests of the fallback.
  package var avoidsMultiLinks = false
  /// Look at how much free memory allocators keep. This needs to know, too, what they held at the beginning.
  package var looksAtRetention = false
  /// Note where a sample of the blocks is freed.
  package var watchesFrees = false
  /// Lead allocator functions through gates where that can be done.
  package var usesGates = false
  /// Unwind by saved frame pointers only.
  package var usesFramePointers = false
  /// Act as if the kernel refused the stack walker. For tests of the fallback.
  package var refusesUnwinder = false

  package init(
    maximumAllocations: Int = TraceConfiguration.defaultMaximumAllocations(),
    maximumSites: Int = TraceConfiguration.defaultMaximumSites()
  ) {
    self.maximumAllocations = maximumAllocations
    self.maximumSites = maximumSites
  }

  package var isSampling: Bool { sampleMeanInBytes != nil || (sampleEveryNth ?? 1) > 1 }

  /// More stacks than a C++ compiler makes, and fewer on hosts with under 1 GiB. Only stacks that occur take memory, half a
  /// kilobyte each.
  package static func defaultMaximumSites() -> Int { memory < 1 << 30 ? 10_000 : 32_000 }

  /// Blocks beyond `maximumAllocations` for which there is room until user space has made more.
  var allocationsInReserve: Int { refusesBeyondMaximum ? 0 : max(4096, maximumAllocations / 4) }

  /// A million blocks, less on hosts with under 1 GiB, so that the table stays below 1/32 of memory.
  package static func defaultMaximumAllocations() -> Int {
    let affordable = memory / 32 / bytesPerAllocation
    return max(10_000, min(1_000_000, affordable))
  }

  /// Memory of this host, in bytes.
  private static var memory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// Kernel memory per recordable block: 24 bytes in a table that is three quarters full at the limit, and a quarter more in
  /// reserve.
  static let bytesPerAllocation = 40
}
