import TraceModel

/// What to leave out of a kernel stack, and what it tells of the memory.
enum KernelFrames {
  /// Frames from the first one that is neither ours nor the allocator's own.
  ///
  /// - Parameter callSite: where the allocator was called from, if the kernel says so: the first frame then.
  static func trimmed(_ frames: [Frame], callSite: UInt64) -> [Frame] {
    if callSite != 0, let first = frames.firstIndex(where: { $0.address == callSite }) {
      return Array(frames[first...])
    }
    var first = 0
    // The programs and the way to them, which are the innermost.
    if let last = frames.prefix(16).lastIndex(where: { isTracing($0.function) }) { first = last + 1 }
    while first < frames.count - 1, isAllocator(frames[first].function) { first += 1 }
    return Array(frames[first...])
  }

  private static func isTracing(_ name: String?) -> Bool {
    guard let name else { return false }
    return ["bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack", "kprobe_", "ftrace_", "rethook_"]
      .contains { name.hasPrefix($0) } || ["perf_call_bpf_enter", "trace_call_bpf", "kretprobe_dispatcher"].contains(name)
  }

  private static func isAllocator(_ name: String?) -> Bool {
    guard let name else { return false }
    return allocatorPrefixes.contains { name.hasPrefix($0) }
  }

  private static let allocatorPrefixes = [
    "__kmalloc", "kmalloc", "kmem_cache_alloc", "__kmem_cache_alloc", "alloc_vmap_area", "__get_vm_area_node",
    "__vmalloc_node", "vmalloc_noprof", "vzalloc", "__vmalloc", "pcpu_alloc", "__alloc_percpu", "__alloc_pages",
    "alloc_pages", "__alloc_frozen_pages", "alloc_frozen_pages", "__get_free_pages", "get_free_pages", "get_zeroed_page",
    "post_alloc_hook", "get_page_from_freelist", "__folio_alloc", "folio_alloc",
  ]

  /// Why memory with this stack is nobody's leak, or nil.
  static func noise(in frames: [Frame], isPages: Bool) -> String? {
    for frame in frames {
      guard let name = frame.function else { continue }
      if name.hasPrefix("bpf_map_") || name == "bpf_mem_refill" || name == "alloc_bulk" {
        return "memory of BPF maps that fill themselves in the background"
      }
      guard isPages else { continue }
      if ["allocate_slab", "new_slab", "___slab_alloc", "alloc_slab_page"].contains(name) {
        return "pages of slab caches, counted there"
      }
      if name.hasPrefix("__vmalloc_area_node") || name.hasPrefix("vm_area_alloc_pages") || name.hasPrefix("__vmalloc_node_range") {
        return "pages of vmalloc ranges, counted there"
      }
      if name.hasPrefix("pcpu_populate") || name.hasPrefix("pcpu_create_chunk") || name.hasPrefix("pcpu_alloc_pages") {
        return "chunks of per-CPU memory, counted there"
      }
      if ["pte_alloc_one", "__pte_alloc", "__pmd_alloc", "__pud_alloc", "__p4d_alloc", "pgd_alloc", "pmd_alloc_one"].contains(name) {
        return "page tables of processes"
      }
      if name.hasPrefix("page_cache_") || name.hasPrefix("__filemap_get_folio") || name.hasPrefix("filemap_alloc_folio") {
        return "page cache"
      }
      if ["do_anonymous_page", "alloc_anon_folio", "do_cow_fault", "wp_page_copy", "vma_alloc_folio"].contains(name) {
        return "memory of processes"
      }
    }
    return nil
  }
}
