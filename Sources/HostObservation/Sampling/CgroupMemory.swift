/// The memory of one control group at one moment, whichever version of the hierarchy it is in; in bytes.
package struct CgroupMemory: Hashable, Sendable {
  /// Path below the root of the hierarchy, with a slash before it.
  package var path: String
  package var usage: UInt64
  /// What the group holds that the kernel cannot drop by itself: usage without file cache and reclaimable slab.
  package var unreclaimable: UInt64 = 0
  /// Limits of this group alone; nil where it has none.
  package var limit: UInt64?
  /// Above this the group is slowed down (memory.high, version 2).
  package var softLimit: UInt64?
  package var swap: UInt64 = 0
  /// How often the limit was met, and how many processes the OOM killer ended.
  package var limitHits: UInt64 = 0
  package var oomKills: UInt64 = 0
  package var parts = Parts()

  /// What the usage is made of.
  package struct Parts: Hashable, Sendable {
    package var anonymous: UInt64 = 0
    package var file: UInt64 = 0
    package var shared: UInt64 = 0
    package var kernel: UInt64 = 0
    package var unreclaimableSlab: UInt64 = 0
    package init() {}
  }

  package init(path: String, usage: UInt64) {
    self.path = path
    self.usage = usage
  }

  /// Version 1 has a number near 2⁶³ where there is no limit.
  private static let noLimit: UInt64 = 1 << 60

  mutating func setLimit(v1 value: UInt64?) { limit = value.flatMap { $0 >= Self.noLimit ? nil : $0 } }

  /// memory.stat of version 2.
  package mutating func readStatistics(v2 text: Bytes) {
    var parts = Parts()
    var kernel: UInt64?
    var kernelParts: UInt64 = 0
    var reclaimableSlab: UInt64 = 0
    ProcText.forEachField(text) { name, value in
      if ProcText.equals(name, "anon") {
        parts.anonymous = value
      } else if ProcText.equals(name, "file") {
        parts.file = value
      } else if ProcText.equals(name, "shmem") {
        parts.shared = value
      } else if ProcText.equals(name, "kernel") {
        kernel = value
      } else if ProcText.equals(name, "slab_reclaimable") {
        reclaimableSlab = value
      } else if ProcText.equals(name, "slab_unreclaimable") {
        parts.unreclaimableSlab = value
        kernelParts &+= value
      } else if ProcText.equals(name, "kernel_stack") || ProcText.equals(name, "pagetables")
        || ProcText.equals(name, "percpu") || ProcText.equals(name, "vmalloc")
      {
        kernelParts &+= value
      }
    }
    // Before 5.18 there is no sum of the kernel's.
    parts.kernel = kernel ?? (kernelParts &+ reclaimableSlab)
    self.parts = parts
    let droppable = (parts.file - min(parts.file, parts.shared)) &+ reclaimableSlab
    unreclaimable = usage - min(usage, droppable)
  }

  /// memory.stat of version 1, and the separate count of kernel memory.
  package mutating func readStatistics(v1 text: Bytes, kernelUsage: UInt64) {
    var parts = Parts()
    var swap: UInt64 = 0
    ProcText.forEachField(text) { name, value in
      if ProcText.equals(name, "total_rss") {
        parts.anonymous = value
      } else if ProcText.equals(name, "total_cache") {
        parts.file = value
      } else if ProcText.equals(name, "total_shmem") {
        parts.shared = value
      } else if ProcText.equals(name, "total_swap") {
        swap = value
      }
    }
    parts.kernel = kernelUsage
    self.parts = parts
    self.swap = swap
    let droppable = parts.file - min(parts.file, parts.shared)
    // Version 1 of the hierarchy does not tell which part of the kernel memory can be dropped.
    unreclaimable = usage - min(usage, droppable &+ kernelUsage)
  }

  /// memory.events of version 2.
  package mutating func readEvents(v2 text: Bytes) {
    var hits: UInt64 = 0
    var kills: UInt64 = 0
    ProcText.forEachField(text) { name, value in
      if ProcText.equals(name, "max") {
        hits = value
      } else if ProcText.equals(name, "oom_kill") {
        kills = value
      }
    }
    limitHits = hits
    oomKills = kills
  }
}
