import CTraceABI
import GrowthStatistics
import KernelStatistics
import TraceModel

/// A site of the kernel while its numbers are gathered.
struct KernelSiteDraft {
  var index: Int
  var site: lt_kernel_site
  /// The slab cache by name; nil for what is not slab, and for blocks so large that they have pages of their own.
  var cacheName: String?
  /// Whether the kernel gives its objects back when memory is short.
  var isReclaimable = false
  var outstanding: Tally
  var allocated: Tally
  var freed: Tally
  /// By the blocks that are old enough.
  var matching = Tally()
  var processes: [Int32: Tally] = [:]
  /// CLOCK_MONOTONIC nanoseconds.
  var oldest = UInt64.max
  var blocks: [OutstandingAllocation] = []
  /// When its outstanding blocks were born, whatever their age; nil when no blocks were looked at.
  var survivors: Survivors?
  /// Sum of the squares of the blocks' sizes, from which the error of a sample follows.
  var squares = 0.0
  /// Ranges that the kernel no longer lists although no free of them was seen.
  var vanished: UInt64 = 0

  init(_ record: KernelTables.SiteRecord) {
    index = record.index
    site = record.site
    allocated = Tally(bytes: site.allocated_bytes, count: site.allocated_count)
    freed = Tally(bytes: site.freed_bytes, count: site.freed_count)
    outstanding = Tally(bytes: record.outstandingBytes, count: record.outstandingCount)
  }

  mutating func add(_ block: KernelTables.BlockRecord, now: UInt64, listsBlock: Bool) {
    let tally = Tally(bytes: block.sizeInBytes, count: 1)
    matching += tally
    processes[block.processID, default: Tally()] += tally
    oldest = min(oldest, block.time)
    squares += Double(block.sizeInBytes) * Double(block.sizeInBytes)
    if listsBlock {
      blocks.append(
        OutstandingAllocation(
          address: block.address, sizeInBytes: block.sizeInBytes,
          age: .nanoseconds(Int64(now &- min(now, block.time)))))
    }
  }

  /// Makes estimates of what is known of one allocation in `nth`.
  mutating func scale(by nth: UInt64) {
    func scaled(_ tally: Tally) -> Tally { Tally(bytes: tally.bytes &* nth, count: tally.count &* nth) }
    outstanding = scaled(outstanding)
    allocated = scaled(allocated)
    freed = scaled(freed)
    matching = scaled(matching)
    processes = processes.mapValues(scaled)
  }

  var allocationClass: AllocationClass {
    switch site.class {
    case LT_KERNEL_VMALLOC.rawValue: .vmalloc
    case LT_KERNEL_PERCPU.rawValue: .percpu
    case LT_KERNEL_PAGES.rawValue: .pages
    default: .slab
    }
  }

  var allocator: String { Self.allocator(of: site) }

  static func allocator(of site: lt_kernel_site) -> String {
    switch site.class {
    case LT_KERNEL_VMALLOC.rawValue: "vmalloc"
    case LT_KERNEL_PERCPU.rawValue: "alloc_percpu"
    case LT_KERNEL_PAGES.rawValue: "alloc_pages"
    default: site.is_kmalloc != 0 ? "kmalloc" : "kmem_cache_alloc"
    }
  }

  /// What sites of one caller with different stacks have in common.
  var group: Group { Group(site) }

  struct Group: Hashable {
    private(set) var callSite: UInt64
    private var cache: UInt64
    private var size: UInt32
    private var kind: UInt32
    /// Where only the stack says who the caller is, each is its own.
    private var stack: UInt64

    init(_ site: lt_kernel_site) {
      callSite = site.call_site
      cache = site.cache
      size = site.object_size
      kind = site.class << 1 | (site.is_kmalloc != 0 ? 1 : 0)
      stack = site.call_site == 0 ? site.stack_hash : 0
    }
  }
}

/// The caches of sites by name.
struct KernelCacheNames {
  let tables: KernelTables
  let slab: SlabCaches
  private var known: [UInt64: String?] = [:]

  init(tables: KernelTables, slab: SlabCaches) {
    self.tables = tables
    self.slab = slab
  }

  /// The name of the cache that a site's blocks are from; nil for what is not slab or has pages of its own.
  mutating func name(of site: lt_kernel_site) -> String? {
    guard site.class == LT_KERNEL_SLAB.rawValue else { return nil }
    var name: String?
    if site.cache != 0 {
      name = known[site.cache] ?? tables.cacheName(site.cache)
      known[site.cache] = .some(name)
    }
    return name ?? (site.is_kmalloc != 0 ? Self.kmallocName(objectSize: site.object_size, gfp: site.gfp) : nil)
  }

  /// Name and reclaimability of the cache of a site.
  mutating func fill(_ draft: inout KernelSiteDraft) {
    draft.cacheName = name(of: draft.site)
    draft.isReclaimable = draft.cacheName.map { slab.isReclaimable($0) } ?? false
  }

  /// kmalloc's caches by the size of their objects and what was asked for, where the kernel does not let us look.
  static func kmallocName(objectSize: UInt32, gfp: UInt32) -> String? {
    guard objectSize > 0, objectSize <= 8192 else { return nil }
    let kind: String
    if gfp & 0x01 != 0 {
      kind = "dma-kmalloc-"
    } else if gfp & 0x10 != 0 {
      kind = "kmalloc-rcl-"
    } else if gfp & 0x40_0000 != 0 {
      kind = "kmalloc-cg-"
    } else {
      kind = "kmalloc-"
    }
    return kind + (objectSize >= 1024 ? "\(objectSize / 1024)k" : "\(objectSize)")
  }
}
