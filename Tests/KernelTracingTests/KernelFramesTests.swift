import Testing
import TraceModel

@testable import KernelTracing

@Suite struct KernelFramesTests {
  private func frames(_ names: [String], module: String = "[kernel]") -> [Frame] {
    names.enumerated().map { index, name in
      let isModule = name.hasPrefix("my_")
      return Frame(
        address: 0x1000 + UInt64(index), function: name == "?" ? nil : name, module: isModule ? "[my]" : module)
    }
  }

  private func trimmed(_ names: String..., callSite: UInt64 = 0) -> [String] {
    KernelFrames.trimmed(frames(names), callSite: callSite).map { $0.function ?? "?" }
  }

  @Test func beginsAtTheCallSite() {
    #expect(
      trimmed("bpf_prog_0123_on_kmalloc", "bpf_trace_run6", "__kmalloc", "caller", callSite: 0x1003) == ["caller"])
    // Where the call site is not among the frames, names decide.
    #expect(
      trimmed("bpf_prog_0123_on_kmalloc", "bpf_trace_run6", "caller", "outer", callSite: 7) == ["caller", "outer"])
  }

  @Test func leavesOutProgramsAndAllocators() {
    #expect(
      trimmed(
        "bpf_prog_0123_allocated", "bpf_prog_4567_on_vmap_alloc", "bpf_trace_run6", "alloc_vmap_area",
        "__get_vm_area_node", "__vmalloc_node_range_noprof", "__vmalloc_node_noprof", "my_open", "do_syscall_64")
        == ["my_open", "do_syscall_64"])
    #expect(
      trimmed("kretprobe_trampoline_handler", "arch_rethook_trampoline", "__get_vm_area_node", "vmalloc", "my_open")
        == ["my_open"])
    #expect(trimmed("?", "bpf_trace_run6", "__alloc_pages_noprof", "alloc_pages_mpol", "my_read") == ["my_read"])
  }

  /// A module's function may have any name.
  @Test func modulesAreNoAllocators() {
    let stack = [
      Frame(address: 1, function: "vmalloc_noprof", module: "[kernel]"),
      Frame(address: 2, function: "vmalloc_for_me", module: "[driver]"),
    ]
    #expect(KernelFrames.trimmed(stack, callSite: 0).map(\.address) == [2])
  }

  @Test func somethingIsAlwaysLeft() {
    #expect(trimmed("__kmalloc") == ["__kmalloc"])
    #expect(trimmed("bpf_prog_1", "bpf_trace_run1") == ["bpf_trace_run1"])
    #expect(trimmed("__kmalloc", "kmalloc_large") == ["kmalloc_large"])
    #expect(KernelFrames.trimmed([], callSite: 5).isEmpty)
    #expect(KernelFrames.trimmed([], callSite: 0).isEmpty)
  }

  @Test(arguments: [
    (["allocate_slab", "my_open"], AllocationClass.pages, "slab"),
    (["__vmalloc_area_node", "my_open"], .pages, "vmalloc"),
    (["pcpu_populate_chunk", "my_open"], .pages, "per-CPU"),
    (["pcpu_create_chunk"], .vmalloc, "per-CPU"),
    (["pcpu_create_chunk"], .slab, "per-CPU"),
    (["__pte_alloc", "handle_mm_fault"], .pages, "page tables"),
    (["pgd_alloc"], .pages, "page tables"),
    (["filemap_alloc_folio", "read"], .pages, "page cache"),
    (["do_anonymous_page"], .pages, "memory of processes"),
    (["bpf_mem_refill"], .slab, "BPF maps"),
    (["vmap", "driver"], .vmalloc, "ioremap"),
    (["__ioremap_caller", "driver"], .vmalloc, "ioremap"),
    (["alloc_slab_obj_exts", "allocate_slab", "my_open"], .slab, "bookkeeping of slabs"),
    (["security_inode_alloc", "alloc_inode"], .slab, "inodes"),
    (["alloc_vmap_area", "__get_vm_area_node", "vmalloc_noprof", "my_open"], .slab, "bookkeeping"),
  ])
  func noiseIsNamed(names: [String], class allocationClass: AllocationClass, word: String) throws {
    let reason = try #require(KernelFrames.noise(in: frames(names), class: allocationClass))
    #expect(reason.contains(word))
  }

  @Test func theRestIsNoNoise() {
    #expect(KernelFrames.noise(in: frames(["my_open", "do_syscall_64"]), class: .slab) == nil)
    // Functions of the slab allocator are on the way to an object that is asked for, too.
    #expect(KernelFrames.noise(in: frames(["allocate_slab", "my_open"]), class: .slab) == nil)
    #expect(KernelFrames.noise(in: frames(["vmap", "my_open"]), class: .slab) == nil)
    // A module's function of the same name.
    #expect(KernelFrames.noise(in: frames(["vmap"], module: "[driver]"), class: .vmalloc) == nil)
    #expect(KernelFrames.noise(in: frames(["?"]), class: .pages) == nil)
    #expect(KernelFrames.noise(in: [], class: .pages) == nil)
  }
}
