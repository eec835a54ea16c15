import KernelStatistics

/// Where memory is on a host at one moment.
package struct HostSample: Sendable {
  /// CLOCK_MONOTONIC seconds.
  package var time: Double
  package var processes: [ProcessMemory] = []
  package var cgroups: [CgroupMemory] = []
  /// Bytes of each slab cache by its name, and whether the kernel drops its objects when memory is short.
  package var slabCaches: [(name: String, bytes: UInt64, isReclaimable: Bool)] = []
  /// The kernel's own memory by what it is for; the slab as a whole is in it, too.
  package var kernel: [KernelMemory.Share] = []
  /// Memory that vmalloc handed out, by the function that asked.
  package var vmalloc: [(function: String, bytes: UInt64)] = []
  package var tmpfs: [TmpfsUsage] = []
  package var sharedSegments: [(name: String, bytes: UInt64)] = []
  /// MemTotal and MemAvailable.
  package var totalBytes: UInt64 = 0
  package var availableBytes: UInt64 = 0

  package init(time: Double) { self.time = time }
}
