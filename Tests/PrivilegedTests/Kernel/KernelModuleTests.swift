import Glibc
import TestTools
import Testing

/// The module of Tests/Kernels/module, which Scripts/test-kernels loads.
enum TestModule {
  static let orders = "/proc/leaktrace_test"
  static let isLoaded = access(orders, W_OK) == 0

  static func order(_ text: String) throws {
    let descriptor = open(orders, O_WRONLY)
    defer { close(descriptor) }
    let written = text.withCString { write(descriptor, $0, strlen($0)) }
    try #require(written == text.utf8.count, "\(orders) refuses '\(text)'")
  }
}

extension Privileged {
  /// Leaks of a kernel module of ours, in every way that memory can be had: exact counts, its function on the stack, and
  /// nothing of what it gives back. Runs in the virtual machines of Scripts/test-kernels, which load the module.
  @Suite(.enabled(if: TestModule.isLoaded, "needs Tests/Kernels/module, which Scripts/test-kernels loads"))
  struct KernelModuleTests {
    private static let cpus = UInt64(sysconf(Int32(_SC_NPROCESSORS_CONF)))

    /// One way to leak.
    struct Leak: CustomTestStringConvertible {
      var order: String
      /// The module's function that must be on the stack.
      var function: String
      var `class` = "slab"
      var cache: String?
      var leaked: Blocks
      var testDescription: String { order }
    }

    static let leaks = [
      Leak(order: "kmalloc 10 200", function: "leak_by_kmalloc", cache: "kmalloc-256", leaked: Blocks(2560, 10)),
      Leak(order: "cache 7", function: "leak_from_cache", cache: "leaktrace_test_cache", leaked: Blocks(7 * 144, 7)),
      Leak(order: "bulk 70", function: "leak_in_bulk", cache: "leaktrace_test_cache", leaked: Blocks(70 * 144, 70)),
      // Three pages each; the fourth, which guards them, is no memory.
      Leak(order: "vmalloc 3 10000", function: "leak_by_vmalloc", class: "vmalloc", leaked: Blocks(3 * 12288, 3)),
      Leak(order: "percpu 4 64", function: "leak_percpu", class: "percpu", leaked: Blocks(4 * 64 * cpus, 4)),
      Leak(order: "pages 5 2", function: "leak_pages", class: "pages", leaked: Blocks(5 * 16384, 5)),
      // Of eight pages the third remains and, as one piece, the last two.
      Leak(order: "split 6", function: "leak_split_pages", class: "pages", leaked: Blocks(6 * 3 * 4096, 12)),
      Leak(order: "timer 9 1000", function: "leak_in_timer", cache: "kmalloc-1k", leaked: Blocks(9 * 1024, 9)),
    ]

    /// What the module holds.
    private static func sites(_ report: KernelReport) -> [KernelReport.Site] {
      report.sites.filter { $0.frames.contains { $0.module == "[leaktrace_test]" } }
    }

    private static let traceOptions = ["--stacks", "all", "--pages"]

    /// Everything at once, and what is balanced beside it.
    @Test func everyLeakIsFoundAndNothingElse() throws {
      defer { try? TestModule.order("release") }
      let trace = try KernelTrace(Self.traceOptions, interval: "1")
      try TestModule.order("balance 20")
      for leak in Self.leaks { try TestModule.order(leak.order) }
      try TestModule.order("balance 20")
      let report = try trace.report()
      let own = Self.sites(report)
      for leak in Self.leaks {
        let found = own.filter { $0.functions.contains(leak.function) && $0.class == leak.class }
        #expect(
          found.reduce(into: Blocks(0, 0)) { $0 += $1.outstanding } == leak.leaked,
          "\(leak.order): \(found.map(\.outstanding)) \(KernelObjectsTests.describe(report))")
        for site in found {
          #expect(site.functions.first == leak.function && site.stackComplete && site.kernel.doubt == nil)
          if let cache = leak.cache { #expect(site.cacheNames.contains(cache)) }
        }
      }
      let expected = Set(Self.leaks.map(\.function))
      for site in own { #expect(!expected.isDisjoint(with: site.functions), "\(site.functions) \(site.outstanding)") }
      #expect(report.losses == [:])
      // Cut where the interrupt came in, and nobody's in particular.
      let timer = try #require(own.first { $0.functions.contains("leak_in_timer") })
      #expect(["handle_softirqs", "__do_softirq"].contains(timer.functions.last))
      #expect(timer.pid == 0)

      try TestModule.order("release")
      let released = try trace.report { Self.sites($0).isEmpty }
      #expect(Self.sites(released).isEmpty, "\(KernelObjectsTests.describe(released))")
    }

    /// Every hook is on, and those that have no tracepoint by kprobes.
    @Test func kprobesAreNamed() throws {
      let report = try KernelTrace(["--pages", "-p", "1"]).report()
      #expect(report.kernel.hooks.count == 13)
      #expect(report.kernel.hooks.allSatisfy { $0.method != nil }, "\(report.kernel.hooks)")
      #expect(report.notes == [])
      for hook in ["kmem_cache_free_bulk", "kmem_cache_alloc_bulk", "kvfree_call_rcu"] {
        #expect(report.method(of: hook) == "kprobe")
      }
      for hook in ["kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free", "percpu_alloc_percpu", "mm_page_free"] {
        #expect(report.method(of: hook) == "raw tracepoint")
      }
      // Its tracepoints came with Linux 6.3.
      let hasTracepoint = access("/sys/kernel/tracing/events/vmalloc/alloc_vmap_area", F_OK) == 0
      #expect(report.method(of: "alloc_vmap_area") == (hasTracepoint ? "raw tracepoint" : "kretprobe"))
      #expect(report.method(of: "free_vmap_area_noflush") == (hasTracepoint ? "raw tracepoint" : "kprobe"))
      let text = try LeakTrace.kernel(["-v", "-p", "1", "--duration", "1"]).output
      #expect(text.contains("by kprobe"))
    }

    /// The ways after the first, where the first would do.
    @Test func vmallocByKprobes() throws {
      defer { try? TestModule.order("release") }
      let trace = try KernelTrace(["--source", "vmalloc", "--methods", "kprobe"], interval: "1")
      try TestModule.order("vmalloc 11 10000")
      try TestModule.order("balance 5")
      let report = try trace.report()
      #expect(report.kernel.hooks.map(\.method) == ["kprobe", "kretprobe"])
      #expect(Self.sites(report).map(\.outstanding) == [Blocks(11 * 12288, 11)])
      #expect(Self.sites(report).allSatisfy { $0.functions.first == "leak_by_vmalloc" })
      try TestModule.order("release")
      let released = try trace.report { Self.sites($0).isEmpty }
      #expect(Self.sites(released).isEmpty)
    }

    /// Bulk allocation and kfree_rcu are seen: nothing is in doubt, and no free is missed.
    @Test func balanceLeavesNothing() throws {
      let trace = try KernelTrace(["--stacks", "none"], interval: "1")
      for _ in 0..<5 { try TestModule.order("balance 50") }
      let report = try trace.report { Self.sites($0).isEmpty }
      #expect(Self.sites(report).isEmpty, "\(KernelObjectsTests.describe(report))")
      #expect(report.kernel.counters["bulk_allocated", default: 0] >= 5 * 50 * 32)
      #expect(report.kernel.counters["bulk_freed", default: 0] >= 5 * 50 * 32)
      #expect(report.losses == [:])
    }

    /// By default a caller that grows, and no other of the module, gets call stacks.
    @Test func aSteadyLeakIsSuspect() throws {
      defer { try? TestModule.order("release") }
      let trace = try KernelTrace([], interval: "1")
      var report = try trace.nextReport()
      func isFound() -> Bool {
        report.sites.contains { $0.kernel.suspect && $0.stackComplete && Self.isLeaking($0) }
      }
      for _ in 0..<30 where !isFound() {
        try TestModule.order("kmalloc 40 2000")
        try TestModule.order("balance 5")
        report = try trace.nextReport()
      }
      let site = try #require(report.sites.first { $0.stackComplete && Self.isLeaking($0) })
      #expect(site.kernel.suspect && site.functions.contains("write_order"))
      #expect(Self.sites(report).allSatisfy { Self.isLeaking($0) })
    }

    private static func isLeaking(_ site: KernelReport.Site) -> Bool { site.functions.first == "leak_by_kmalloc" }
  }
}
