import TraceModel

/// Which frames of a kernel stack to leave out, and what the others tell of the memory.
enum KernelFrames {
  /// The frames from the first one on that belongs neither to leaktrace nor to the allocator.
  ///
  /// - Parameter callSite: where the allocator was called from, if the kernel tells. It then is the first frame that is
  ///   kept.
  static func trimmed(_ frames: [Frame], callSite: UInt64) -> [Frame] {
    if callSite != 0, let first = frames.firstIndex(where: { $0.address == callSite }) {
      return Array(frames[first...])
    }
    var first = 0
    // The innermost frames are our programs and the way to them.
    if let last = frames.prefix(16).lastIndex(where: { isTracing($0.function) }) { first = last + 1 }
    while first < frames.count - 1, isAllocator(frames[first]) { first += 1 }
    return Array(frames[min(first, max(0, frames.count - 1))...])
  }

  private static func isTracing(_ name: String?) -> Bool {
    guard let name else { return false }
    return tracingPrefixes.contains { name.hasPrefix($0) }
  }

  private static let tracingPrefixes = [
    "bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack", "kprobe_", "kretprobe_", "ftrace_",
    "rethook_", "arch_rethook_", "perf_call_bpf_enter", "trace_call_bpf", "__kretprobe_trampoline", "aggr_pre_handler",
    "opt_pre_handler", "optimized_callback", "__trampoline_handler", "perf_trace_run_bpf",
  ]

  private static func isAllocator(_ frame: Frame) -> Bool {
    guard let name = frame.function, isCore(frame) else { return false }
    return allocatorPrefixes.contains { name.hasPrefix($0) }
  }

  private static let allocatorPrefixes = [
    "__kmalloc", "kmalloc", "kmem_cache_alloc", "__kmem_cache_alloc", "kmemdup", "alloc_vmap_area", "__get_vm_area",
    "get_vm_area", "__vmalloc", "vmalloc", "vzalloc", "kvmalloc", "__kvmalloc", "pcpu_alloc", "__alloc_percpu",
    "__alloc_pages", "alloc_pages", "__alloc_frozen_pages", "alloc_frozen_pages", "__get_free_pages", "get_free_pages",
    "get_zeroed_page", "post_alloc_hook", "get_page_from_freelist", "__folio_alloc", "folio_alloc",
  ]

  /// Whether a frame is in the kernel itself. A module may name its functions as it likes.
  private static func isCore(_ frame: Frame) -> Bool { frame.module == "[kernel]" }

  /// Why memory with this stack is nobody's leak; nil when it may be one.
  static func noise(in frames: [Frame], class allocationClass: AllocationClass) -> String? {
    for frame in frames {
      guard let name = frame.function, isCore(frame) else { continue }
      for kind in kinds where kind.classes.isEmpty || kind.classes.contains(allocationClass) {
        if kind.prefixes.contains(where: { name.hasPrefix($0) }) || kind.names.contains(name) { return kind.reason }
      }
    }
    return nil
  }

  private struct Kind {
    var reason: String
    /// Empty: memory of any class.
    var classes: Set<AllocationClass> = []
    var prefixes: [String] = []
    var names: Set<String> = []
  }

  private static let kinds = [
    Kind(
      reason: "memory of BPF maps that fill themselves in the background",
      names: ["bpf_mem_refill"]),
    Kind(
      reason: "bookkeeping of slabs, which goes with them", classes: [.slab],
      prefixes: ["alloc_slab_obj_exts", "memcg_alloc_slab_cgroups", "memcg_alloc_page_obj_cgroups"]),
    Kind(
      reason: "what security modules keep with inodes, which goes with them when memory is short", classes: [.slab],
      names: ["security_inode_alloc", "lsm_inode_alloc"]),
    Kind(
      reason: "bookkeeping of vmalloc, which is given back later", classes: [.slab], names: ["alloc_vmap_area"]),
    Kind(
      reason: "pages of slab caches, counted there", classes: [.pages],
      names: ["allocate_slab", "new_slab", "___slab_alloc", "alloc_slab_page"]),
    Kind(
      reason: "pages of vmalloc ranges, counted there", classes: [.pages],
      prefixes: ["__vmalloc_area_node", "vm_area_alloc_pages", "__vmalloc_node_range"]),
    Kind(
      reason: "chunks of per-CPU memory, counted there",
      prefixes: ["pcpu_populate", "pcpu_create_chunk", "pcpu_alloc_pages", "pcpu_alloc_chunk"]),
    Kind(
      reason: "page tables of processes", classes: [.pages],
      prefixes: [
        "__pte_alloc", "__pmd_alloc", "__pud_alloc", "__p4d_alloc", "pte_alloc_one", "pmd_alloc_one", "pgd_alloc",
      ]),
    Kind(
      reason: "page cache", classes: [.pages],
      prefixes: ["page_cache_", "__filemap_get_folio", "filemap_alloc_folio", "__page_cache_alloc"]),
    Kind(
      reason: "memory of processes", classes: [.pages],
      prefixes: [
        "do_anonymous_page", "alloc_anon_folio", "do_cow_fault", "wp_page_copy", "vma_alloc_folio", "vma_alloc_",
      ]),
    Kind(
      reason: "address ranges without memory of their own (ioremap, vmap)", classes: [.vmalloc],
      prefixes: ["__ioremap", "ioremap", "vm_map_ram", "new_vmap_block"], names: ["vmap", "vmap_pfn"]),
  ]
}
