/// One event of the kernel that is to be seen, and the ways to see it, best first.
package struct KernelHook: Hashable, Sendable {
  /// What it is called in reports.
  package var name: String
  package var source: KernelSource
  package var ways: [Way]
  /// What a trace of the source is without it.
  package var importance: Importance

  package enum Importance: Hashable, Sendable {
    /// Nothing of the source is traced; what the kernel tells in /proc is compared from time to time instead.
    case needed
    /// Numbers are incomplete.
    case completes
  }

  package enum Method: String, CaseIterable, Hashable, Sendable {
    case rawTracepoint = "raw tracepoint"
    case kprobe
    case kretprobe
    case polling
  }

  package enum Way: Hashable, Sendable {
    /// Of every tracepoint named, the first must exist; the others are attached where they do.
    case rawTracepoint(program: String, names: [String])
    /// The first of the functions that exists.
    case kprobe(program: String, functions: [String])
    case kretprobe(program: String, functions: [String])
    /// Entry and return together.
    case kprobePair(entry: String, return: String, functions: [String])

    var programs: [String] {
      switch self {
      case .rawTracepoint(let program, _), .kprobe(let program, _), .kretprobe(let program, _): [program]
      case .kprobePair(let entry, let exit, _): [entry, exit]
      }
    }

    var method: Method {
      switch self {
      case .rawTracepoint: .rawTracepoint
      case .kprobe, .kprobePair: .kprobe
      case .kretprobe: .kretprobe
      }
    }
  }

  init(_ name: String, _ source: KernelSource, _ importance: Importance = .needed, _ ways: Way...) {
    self.name = name
    self.source = source
    self.importance = importance
    self.ways = ways
  }

  /// Hooks that see frees are attached before the others: a block whose free went unseen would look leaked.
  var seesFrees: Bool { name.contains("free") }

  /// Every hook there is. Names of functions differ by kernel version; newer ones come first.
  package static let all: [KernelHook] = [
    KernelHook(
      "kmalloc", .slab, .needed, .rawTracepoint(program: "on_kmalloc", names: ["kmalloc", "kmalloc_node"])),
    KernelHook(
      "kmem_cache_alloc", .slab, .needed,
      .rawTracepoint(program: "on_cache_alloc", names: ["kmem_cache_alloc", "kmem_cache_alloc_node"])),
    KernelHook("kfree", .slab, .needed, .rawTracepoint(program: "on_kfree", names: ["kfree"])),
    KernelHook(
      "kmem_cache_free", .slab, .needed, .rawTracepoint(program: "on_cache_free", names: ["kmem_cache_free"])),
    KernelHook(
      "kmem_cache_free_bulk", .slab, .completes,
      .kprobe(program: "bulk_free_enter", functions: ["kmem_cache_free_bulk"])),
    KernelHook(
      "kmem_cache_alloc_bulk", .slab, .completes,
      .kprobePair(
        entry: "bulk_alloc_enter", return: "bulk_alloc_exit",
        functions: ["kmem_cache_alloc_bulk_noprof", "kmem_cache_alloc_bulk"])),
    KernelHook(
      "kvfree_call_rcu", .slab, .completes, .kprobe(program: "rcu_free_enter", functions: ["kvfree_call_rcu"])),
    KernelHook(
      "free_vmap_area_noflush", .vmalloc, .needed,
      .rawTracepoint(program: "on_vmap_free", names: ["free_vmap_area_noflush"]),
      .kprobe(program: "vmap_free_enter", functions: ["free_vmap_area_noflush"])),
    KernelHook(
      "alloc_vmap_area", .vmalloc, .needed,
      .rawTracepoint(program: "on_vmap_alloc", names: ["alloc_vmap_area"]),
      .kretprobe(program: "vmap_alloc_exit", functions: ["alloc_vmap_area"])),
    KernelHook(
      "percpu_free_percpu", .percpu, .needed,
      .rawTracepoint(program: "on_percpu_free", names: ["percpu_free_percpu"])),
    KernelHook(
      "percpu_alloc_percpu", .percpu, .needed,
      .rawTracepoint(program: "on_percpu_alloc", names: ["percpu_alloc_percpu"])),
    KernelHook("mm_page_free", .pages, .needed, .rawTracepoint(program: "on_page_free", names: ["mm_page_free"])),
    KernelHook(
      "mm_page_alloc", .pages, .needed, .rawTracepoint(program: "on_page_alloc", names: ["mm_page_alloc"])),
  ]
}
