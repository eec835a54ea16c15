/// One event of the kernel that is to be seen, and the ways to see it, best first.
package struct KernelHook: Hashable, Sendable {
  /// What it is called in reports.
  package var name: String
  package var source: KernelSource
  package var ways: [Way]
  /// Whether numbers are only incomplete without it; the others are needed to trace the source at all.
  package var isOptional: Bool

  package enum Way: Hashable, Sendable {
    /// Of every tracepoint named, the first must exist; the others are attached where they do.
    case rawTracepoint(program: String, names: [String])
    /// The first of the functions that exists.
    case kprobe(program: String, functions: [String], isReturn: Bool)
    /// Entry and return together.
    case kprobePair(entry: String, return: String, functions: [String])

    var programs: [String] {
      switch self {
      case .rawTracepoint(let program, _), .kprobe(let program, _, _): [program]
      case .kprobePair(let entry, let exit, _): [entry, exit]
      }
    }
  }

  /// Every hook there is. Names of functions differ by kernel version; newer ones come first.
  package static let all: [KernelHook] = [
    KernelHook(
      name: "kmalloc", source: .slab,
      ways: [.rawTracepoint(program: "on_kmalloc", names: ["kmalloc", "kmalloc_node"])], isOptional: false),
    KernelHook(
      name: "kmem_cache_alloc", source: .slab,
      ways: [.rawTracepoint(program: "on_cache_alloc", names: ["kmem_cache_alloc", "kmem_cache_alloc_node"])],
      isOptional: false),
    KernelHook(
      name: "kfree", source: .slab, ways: [.rawTracepoint(program: "on_kfree", names: ["kfree"])], isOptional: false),
    KernelHook(
      name: "kmem_cache_free", source: .slab,
      ways: [.rawTracepoint(program: "on_cache_free", names: ["kmem_cache_free"])], isOptional: false),
    KernelHook(
      name: "kmem_cache_free_bulk", source: .slab,
      ways: [.kprobe(program: "bulk_free_enter", functions: ["kmem_cache_free_bulk"], isReturn: false)],
      isOptional: true),
    KernelHook(
      name: "kmem_cache_alloc_bulk", source: .slab,
      ways: [
        .kprobePair(
          entry: "bulk_alloc_enter", return: "bulk_alloc_exit",
          functions: ["kmem_cache_alloc_bulk_noprof", "kmem_cache_alloc_bulk"])
      ], isOptional: true),
    KernelHook(
      name: "kvfree_call_rcu", source: .slab,
      ways: [.kprobe(program: "rcu_free_enter", functions: ["kvfree_call_rcu"], isReturn: false)], isOptional: true),
    KernelHook(
      name: "free_vmap_area_noflush", source: .vmalloc,
      ways: [
        .rawTracepoint(program: "on_vmap_free", names: ["free_vmap_area_noflush"]),
        .kprobe(program: "vmap_free_enter", functions: ["free_vmap_area_noflush"], isReturn: false),
      ], isOptional: false),
    KernelHook(
      name: "alloc_vmap_area", source: .vmalloc,
      ways: [
        .rawTracepoint(program: "on_vmap_alloc", names: ["alloc_vmap_area"]),
        .kprobe(program: "vmap_alloc_exit", functions: ["alloc_vmap_area"], isReturn: true),
      ], isOptional: false),
    KernelHook(
      name: "percpu_free_percpu", source: .percpu,
      ways: [.rawTracepoint(program: "on_percpu_free", names: ["percpu_free_percpu"])], isOptional: false),
    KernelHook(
      name: "percpu_alloc_percpu", source: .percpu,
      ways: [.rawTracepoint(program: "on_percpu_alloc", names: ["percpu_alloc_percpu"])], isOptional: false),
    KernelHook(
      name: "mm_page_free", source: .pages,
      ways: [.rawTracepoint(program: "on_page_free", names: ["mm_page_free"])], isOptional: false),
    KernelHook(
      name: "mm_page_alloc", source: .pages,
      ways: [.rawTracepoint(program: "on_page_alloc", names: ["mm_page_alloc"])], isOptional: false),
  ]
}
