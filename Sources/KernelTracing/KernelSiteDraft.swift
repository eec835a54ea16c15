import CTraceABI
import TraceModel

/// A site of the kernel while its numbers are gathered.
struct KernelSiteDraft {
  var index: Int
  var site: lt_kernel_site
  var outstanding: Tally
  var allocated: Tally
  var freed: Tally
  /// By the blocks that are old enough.
  var matching = Tally()
  var processes: [Int32: Tally] = [:]
  /// CLOCK_MONOTONIC nanoseconds.
  var oldest = UInt64.max
  var blocks: [OutstandingAllocation] = []

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
    if listsBlock {
      blocks.append(
        OutstandingAllocation(
          address: block.address, sizeInBytes: block.sizeInBytes,
          age: .nanoseconds(Int64(now &- min(now, block.time)))))
    }
  }

  var allocationClass: AllocationClass {
    switch site.class {
    case LT_KERNEL_VMALLOC.rawValue: .vmalloc
    case LT_KERNEL_PERCPU.rawValue: .percpu
    case LT_KERNEL_PAGES.rawValue: .pages
    default: .slab
    }
  }

  var allocator: String {
    switch allocationClass {
    case .vmalloc: "vmalloc"
    case .percpu: "alloc_percpu"
    case .pages: "alloc_pages"
    default: site.cache == 0 ? "kmalloc" : "kmem_cache_alloc"
    }
  }
}

/// The caches of sites by name.
struct KernelCacheNames {
  let tables: KernelTables
  let slab: SlabCaches

  /// The cache that a site's blocks are from, or nil when they are not slab or so large that they have pages of their own.
  func name(of site: lt_kernel_site) -> String? {
    guard site.class == LT_KERNEL_SLAB.rawValue else { return nil }
    if site.cache != 0 { return tables.cache(site.cache)?.name }
    return Self.kmallocName(objectSize: site.object_size, gfp: site.gfp)
  }

  /// kmalloc's caches by the size of their objects and what was asked for: the tracepoint does not name them.
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

  func isReclaimable(_ site: lt_kernel_site) -> Bool {
    guard site.class == LT_KERNEL_SLAB.rawValue else { return false }
    if site.cache != 0 { return tables.cache(site.cache)?.isReclaimable ?? false }
    return site.gfp & 0x10 != 0
  }
}
