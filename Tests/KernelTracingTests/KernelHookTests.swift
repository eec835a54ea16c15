import Testing

@testable import KernelTracing

/// The lines by which programs declare what they see.
struct KernelHookTests {
  @Test func theProgramsDeclareEveryHook() {
    #expect(
      KernelHook.all.map(\.name) == [
        "kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free", "kmem_cache_free_bulk", "kmem_cache_alloc_bulk",
        "kvfree_call_rcu", "free_vmap_area_noflush", "alloc_vmap_area", "percpu_free_percpu", "percpu_alloc_percpu",
        "mm_page_free", "mm_page_alloc",
      ])
    #expect(
      KernelHook.all.filter(\.seesFrees).map(\.name) == [
        "kfree", "kmem_cache_free", "kmem_cache_free_bulk", "kvfree_call_rcu", "free_vmap_area_noflush",
        "percpu_free_percpu", "mm_page_free",
      ])
    #expect(
      KernelHook.all.filter { $0.importance == .completes }.map(\.name) == [
        "kmem_cache_free_bulk", "kmem_cache_alloc_bulk", "kvfree_call_rcu",
      ])
  }

  @Test func waysAreTriedInTheOrderOfTheirLines() {
    let hooks = KernelHook.hooks(lines: [
      "on_free free_area vmalloc needed tracepoint free_area free_area_old",
      "free_enter free_area vmalloc needed kprobe free_area",
    ])
    #expect(
      hooks == [
        KernelHook(
          name: "free_area", source: .vmalloc,
          ways: [
            .rawTracepoint(program: "on_free", names: ["free_area", "free_area_old"]),
            .kprobe(program: "free_enter", functions: ["free_area"]),
          ], importance: .needed)
      ])
  }

  @Test func entryAndReturnOfTheSameFunctionsBelongTogether() {
    let hooks = KernelHook.hooks(lines: [
      "enter bulk slab completes kprobe bulk_new bulk_old", "leave bulk slab completes kretprobe bulk_new bulk_old",
      "other area vmalloc needed kretprobe area",
    ])
    #expect(
      hooks.map(\.ways) == [
        [.kprobePair(entry: "enter", return: "leave", functions: ["bulk_new", "bulk_old"])],
        [.kretprobe(program: "other", functions: ["area"])],
      ])
  }
}
