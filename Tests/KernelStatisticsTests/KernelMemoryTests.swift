import TestTools
import Testing

@testable import KernelStatistics

@Suite struct KernelMemoryTests {
  static let meminfo = """
    MemTotal:        1000000 kB
    MemFree:          400000 kB
    Buffers:           10000 kB
    Cached:           200000 kB
    SwapCached:            0 kB
    AnonPages:        100000 kB
    Shmem:             20000 kB
    SReclaimable:      50000 kB
    SUnreclaim:        30000 kB
    KernelStack:        2000 kB
    PageTables:         5000 kB
    SecPageTables:      1000 kB
    Percpu:             4000 kB
    HugePages_Total:       7
    Hugetlb:               0 kB

    """

  static let vmallocinfo = """
    0x00000000a6f6b53f-0x00000000ca8c3ecd   20480 irq_init_percpu_irqstack+0xca/0x100 vmap
    0x00000000e5408b21-0x00000000b2bc21aa   12288 acpi_os_map_iomem+0x1bc/0x1e0 phys=0x000000000009f000 ioremap
    0x0000000084589272-0x00000000ce01f127   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=4
    0x0000000084589273-0x00000000ce01f128   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=4
    0x0000000084589274-0x00000000ce01f129    8192 bpf_prog_alloc_no_stats+0x33/0x110 pages=1 vmalloc N0=1
    0x00000000d1c171df-0x00000000442d2e06   20480 unpurged vm_area
    0x00000000d1c171e0-0x00000000442d2e07    4096

    """

  private let memory = KernelMemory(meminfo: meminfo, slab: SlabCaches(slabinfo: ""), vmallocinfo: vmallocinfo)

  @Test func meminfoIsInBytes() {
    #expect(memory.meminfo["MemTotal"] == 1_000_000 * 1024)
    #expect(memory.meminfo["HugePages_Total"] == 7)
    #expect(memory.meminfo["Nothing"] == nil)
  }

  @Test func vmallocRanges() throws {
    #expect(memory.vmalloc.count == 6)
    let clone = try #require(memory.vmallocCallers.first)
    #expect(clone.function == "kernel_clone")
    #expect(clone.count == 2)
    #expect(clone.memoryBytes == 2 * 4 * 4096)
    #expect(clone.mappedBytes == 2 * 20480)
    #expect(memory.vmalloc[2].offset == 0x94)
    // What is mapped and no memory of its own comes last, the largest first.
    #expect(
      memory.vmallocCallers.map(\.function) == [
        "kernel_clone", "bpf_prog_alloc_no_stats", "irq_init_percpu_irqstack", "acpi_os_map_iomem", "unknown",
      ])
    #expect(memory.vmallocBytes == 9 * 4096)
  }

  /// The lines add up to the memory of the host.
  @Test func sharesAddUp() throws {
    let shares = try #require(memory.shares())
    let bytes = Dictionary(uniqueKeysWithValues: shares.map { ($0.kind, $0.bytes) })
    #expect(shares.map(\.kind) == KernelMemory.Kind.allCases)
    #expect(shares.reduce(0) { $0 + $1.bytes } == 1_000_000 * 1024)
    #expect(bytes[.files] == (210_000 - 20_000) * 1024)
    #expect(bytes[.shared] == 20_000 * 1024)
    #expect(bytes[.pageTables] == 6000 * 1024)
    // Stacks of threads are among the ranges of vmalloc, and counted once.
    #expect(bytes[.vmalloc] == 4096)
    #expect(bytes[.threadStacks] == 2000 * 1024)
    let known: UInt64 = 400_000 + 100_000 + 190_000 + 20_000 + 50_000 + 30_000 + 4 + 4000 + 2000 + 6000
    #expect(bytes[.unaccounted] == (1_000_000 - known) * 1024)
  }

  /// More than there is, as while the numbers change: nothing is unaccounted.
  @Test func moreThanThereIs() throws {
    let memory = KernelMemory(
      meminfo: "MemTotal: 10 kB\nMemFree: 8 kB\nAnonPages: 7 kB\n", slab: SlabCaches(slabinfo: ""), vmallocinfo: "")
    #expect(try #require(memory.shares()).last?.bytes == 0)
  }

  @Test func nothingWithoutMeminfo() {
    let memory = KernelMemory(meminfo: "", slab: SlabCaches(slabinfo: ""), vmallocinfo: "")
    #expect(memory.shares() == nil)
    #expect(memory.summary(limit: 3) == nil)
  }

  @Test func summaryHasTheLargest() throws {
    let memory = KernelMemory(
      meminfo: Self.meminfo, slab: SlabCaches(slabinfo: SlabCachesTests.text, links: SlabCachesTests.links),
      vmallocinfo: Self.vmallocinfo)
    let summary = try #require(memory.summary(limit: 2))
    #expect(summary.slabUse.map(\.name) == ["dentry", "task_struct"])
    #expect(summary.slabUse[0].bytes == 16617 * 4096)
    #expect(summary.vmallocUse.map(\.name) == ["kernel_clone", "bpf_prog_alloc_no_stats"])
    #expect(summary.shares.allSatisfy { $0.change == nil && $0.traced == nil })
  }

  @Test(arguments: [
    "x", "0x1-0x2", "0x1-0x2 -5 f+0x1/0x2 pages=1", "0x1-0x2 99999999999999999999 f", "- 1", "\0", "   ",
  ])
  func brokenRanges(line: String) {
    let ranges = KernelMemory.parse(vmallocinfo: line)
    #expect(ranges.allSatisfy { $0.memoryBytes == 0 })
  }

  @Test func enormousRangesDoNotTrap() {
    let most = "18446744073709551615"
    let line = "0x0-0x1 \(most) f+0xffffffffffffffffff/0x1 pages=\(most) vmalloc\n"
    let memory = KernelMemory(
      meminfo: "MemTotal: \(most) kB\nMemFree: \(most) kB\nCached: \(most)\nBuffers: \(most)\n",
      slab: SlabCaches(slabinfo: ""), vmallocinfo: line + line)
    #expect(memory.shares() != nil)
    #expect(memory.vmallocCallers.count == 1)
  }

  @Test func damagedTextDoesNotTrap() {
    var mutator = Mutator(seed: 2)
    for text in [Self.meminfo, Self.vmallocinfo] {
      let bytes = Array(text.utf8)
      for _ in 0..<2000 {
        let damaged = String(decoding: mutator.mutate(bytes, focus: [0..<bytes.count]), as: UTF8.self)
        let memory = KernelMemory(meminfo: damaged, slab: SlabCaches(slabinfo: damaged), vmallocinfo: damaged)
        _ = memory.summary(limit: 3)
      }
    }
  }

  @Test func ofThisHost() throws {
    let shares = try #require(KernelMemory.current().shares())
    let total = try #require(KernelMemory.current().meminfo["MemTotal"])
    #expect(shares.reduce(0) { $0 + $1.bytes } >= total)
    #expect(try #require(shares.first { $0.kind == .unreclaimableSlab }).bytes > 1 << 20)
  }
}
