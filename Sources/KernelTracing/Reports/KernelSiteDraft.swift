import Accounting
import CTraceABI
import KernelStatistics
import TraceModel

/// A site of the kernel while its numbers are gathered.
struct KernelSiteDraft {
  var index: Int
  var site: lt_kernel_site
  /// Name of the slab cache; nil for memory that is not slab, and for blocks so large that they have pages of their own.
  var cacheName: String?
  /// Whether the kernel gives its objects back when memory is short.
  var isReclaimable = false
  var sums = SiteSums()
  var processes: [Int32: Tally] = [:]
  /// What of it is from before the call stacks of its caller were recorded.
  var earlier = Tally()

  init(_ record: KernelTables.SiteRecord) {
    index = record.index
    site = record.site
    sums.allocated = Tally(bytes: site.allocated_bytes, count: site.allocated_count)
    sums.freed = Tally(bytes: site.freed_bytes, count: site.freed_count)
    sums.outstanding = Tally(bytes: record.outstandingBytes, count: record.outstandingCount)
  }

  /// Adds a block, which stands for `nth` of them.
  mutating func add(_ block: KernelTables.BlockRecord, nth: UInt64, now: UInt64, listsBlock: Bool) {
    sums.add(sizeInBytes: block.sizeInBytes, weight: Double(nth), time: block.time)
    processes[block.processID, default: Tally()] += Tally(bytes: block.sizeInBytes &* nth, count: nth)
    if listsBlock {
      sums.list(address: block.address, sizeInBytes: block.sizeInBytes, time: block.time, now: now)
    }
  }

  /// Turns totals that count one allocation in `nth` into estimates of all allocations.
  mutating func scaleTotals(by nth: UInt64) {
    func scaled(_ tally: Tally) -> Tally { Tally(bytes: tally.bytes &* nth, count: tally.count &* nth) }
    sums.outstanding = scaled(sums.outstanding)
    sums.allocated = scaled(sums.allocated)
    sums.freed = scaled(sums.freed)
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

  /// Whether it stands for all that its caller holds.
  var hasWholeCaller: Bool { site.stack_hash == 0 || earlier.count > 0 }

  /// What the sites of one caller have in common, whatever their stacks are.
  var group: Group { Group(site) }

  struct Group: Hashable {
    private(set) var callSite: UInt64
    private var cache: UInt64
    private var size: UInt32
    private var kind: UInt32
    /// Where only the stack tells who the caller is, each stack is a group of its own.
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

/// Finds the names of the caches that sites use.
struct KernelCacheNames {
  let tables: KernelTables
  let slab: SlabCaches
  private var known: [UInt64: String?] = [:]

  init(tables: KernelTables, slab: SlabCaches) {
    self.tables = tables
    self.slab = slab
  }

  /// The name of the cache from which a site's blocks are; nil for memory that is not slab or has pages of its own.
  mutating func name(of site: lt_kernel_site) -> String? {
    guard site.class == LT_KERNEL_SLAB.rawValue else { return nil }
    var name: String?
    if site.cache != 0 {
      name = known[site.cache] ?? tables.cacheName(site.cache)
      known[site.cache] = .some(name)
    }
    return name ?? (site.is_kmalloc != 0 ? Self.kmallocName(objectSize: site.object_size, gfp: site.gfp) : nil)
  }

  /// Fills in the name of a site's cache, and whether the kernel can reclaim it.
  mutating func fill(_ draft: inout KernelSiteDraft) {
    draft.cacheName = name(of: draft.site)
    draft.isReclaimable = draft.cacheName.map { slab.isReclaimable($0) } ?? false
  }

  /// The name of kmalloc's cache for objects of a size and for what was asked for, where the kernel does not let us see the
  /// cache.
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
