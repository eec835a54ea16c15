import TraceModel

extension SyntheticReports {
  /// A trace of the kernel: a leak with its stack, one that is in doubt, one known by its caller only, one of an interrupt.
  static var kernel: Report {
    var report = Report(
      target: Report.Target(kind: .kernel),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(60)))
    report.totals = Report.Totals(
      outstanding: Tally(bytes: 5_000_000, count: 50_000), allocated: Tally(bytes: 90_000_000, count: 900_000),
      freed: Tally(bytes: 85_000_000, count: 850_000), unmatchedFrees: 1234)
    report.loss = [
      Report.LossCounter(name: "blocks_refused", description: "blocks not recorded", value: 0),
      Report.LossCounter(name: "recursion_misses", description: "events not seen", value: 17),
    ]
    report.sites = [leakingSite, callerOnlySite, interruptSite, doubtfulSite]
    report.kernelMemory = KernelMemorySummary(
      shares: [
        KernelMemorySummary.Share(name: "free", bytes: 1 << 30, change: -123, isKernel: false),
        KernelMemorySummary.Share(
          name: "slab, unreclaimable", bytes: 120 << 20, change: 5 << 20, traced: 4_600_000, isKernel: true),
        KernelMemorySummary.Share(name: "vmalloc", bytes: 900, change: 0, traced: 0, isKernel: true),
        KernelMemorySummary.Share(name: "huge pages", bytes: 0, change: 0, isKernel: true),
        KernelMemorySummary.Share(name: "unaccounted", bytes: 70 << 20, change: -4096, isKernel: true),
      ],
      caches: [
        KernelMemorySummary.CacheChange(
          name: "kmalloc-64", bytes: 8 << 20, activeChange: 48_000, traced: Tally(bytes: 3_072_000, count: 48_000)),
        KernelMemorySummary.CacheChange(name: "dentry", bytes: 64 << 20, activeChange: -77, traced: Tally()),
      ],
      leftOut: [
        KernelMemorySummary.LeftOut(
          reason: "caches that the kernel takes back when memory is short", outstanding: Tally(bytes: 20_000, count: 90)
        )
      ],
      processes: [
        KernelSiteDetails.Share(
          processID: 4242, command: "server", outstanding: Tally(bytes: 3_072_000, count: 48_000)),
        KernelSiteDetails.Share(processID: 0, command: nil, outstanding: Tally(bytes: 20_480, count: 20)),
        KernelSiteDetails.Share(processID: 77, command: nil, outstanding: Tally(bytes: 96, count: 1)),
      ],
      hooks: [
        KernelMemorySummary.Hook(name: "kmalloc", method: "raw tracepoint"),
        KernelMemorySummary.Hook(name: "kmem_cache_free_bulk", method: "kprobe", detail: "kmem_cache_free_bulk_noprof"),
        KernelMemorySummary.Hook(name: "alloc_vmap_area", method: "polling", detail: "ENOENT"),
        KernelMemorySummary.Hook(name: "kvfree_call_rcu", method: nil, detail: "this kernel has no kprobes"),
      ],
      findings: ["50.0 MiB more than at the start are in no account of the kernel"])
    report.notes = ["this kernel has no probes for kvfree_call_rcu"]
    return report
  }

  private static func site(
    _ allocationClass: AllocationClass, _ allocator: String, _ bytes: UInt64, _ count: UInt64, _ functions: [String],
    _ kernel: KernelSiteDetails
  ) -> AllocationSite {
    let frames = functions.enumerated().map { index, name in
      Frame(
        address: 0xffff_ffff_8100_0000 + UInt64(index) * 0x100, function: name, functionOffset: 0x20,
        module: name.hasPrefix("my_") ? "[my_driver]" : "[kernel]")
    }
    var site = AllocationSite(
      processID: kernel.processes.first?.processID ?? 0, allocationClass: allocationClass, allocator: allocator,
      outstanding: Tally(bytes: bytes, count: count), allocated: Tally(bytes: bytes * 2, count: count * 2),
      freed: Tally(bytes: bytes, count: count), oldestAge: .seconds(59),
      stack: StackTrace(addresses: frames.map(\.address), completeness: frames.count > 1 ? .complete : .callerOnly),
      frames: frames)
    site.kernel = kernel
    return site
  }

  private static var leakingSite: AllocationSite {
    var site = site(
      .slab, "kmalloc", 3_072_000, 48_000, ["my_open", "vfs_open", "do_sys_openat2", "do_syscall_64"],
      KernelSiteDetails(
        cache: "kmalloc-64",
        processes: [
          KernelSiteDetails.Share(
            processID: 4242, command: "server", outstanding: Tally(bytes: 3_000_000, count: 47_000)),
          KernelSiteDetails.Share(processID: 77, command: nil, outstanding: Tally(bytes: 72_000, count: 1000)),
        ], isSuspect: true))
    site.growth = GrowthEvidence(
      word: .growing, slopeInBytesPerSecond: 51_200, lowerSlope: 50_000, upperSlope: 52_000, confidence: 0.95,
      windows: 40, generationsAlive: 40, survival: 0.99)
    return site
  }

  private static var callerOnlySite: AllocationSite {
    site(
      .slab, "kmem_cache_alloc", 19_200, 100, ["alloc_empty_file"],
      KernelSiteDetails(
        cache: "filp", aliases: ["cred", "io_kiocb", "other", "skbuff"],
        processes: (1...5).map {
          KernelSiteDetails.Share(
            processID: $0, command: $0 == 3 ? "\u{1b}[2Jevil" : "worker", outstanding: Tally(bytes: 3840, count: 20))
        }))
  }

  private static var interruptSite: AllocationSite {
    site(
      .pages, "alloc_pages", 81_920, 20, ["my_receive", "net_rx_action", "handle_softirqs"],
      KernelSiteDetails(
        processes: [
          KernelSiteDetails.Share(processID: 0, command: nil, outstanding: Tally(bytes: 81_920, count: 20))
        ]))
  }

  private static var doubtfulSite: AllocationSite {
    site(
      .slab, "kmem_cache_alloc", 900_000, 3500, ["mas_preallocate"],
      KernelSiteDetails(
        cache: "maple_node", isReclaimable: true, reusedCount: 3087,
        doubt: "3087 of the 3133 freed blocks were seen to be so only when their addresses were used again"))
  }

  /// Where memory is, without a trace.
  static var whereMemoryIs: Report {
    var report = Report(
      target: Report.Target(kind: .kernel), window: Report.Window(startInUnixSeconds: start, duration: .zero))
    var summary = KernelMemorySummary(
      shares: [
        KernelMemorySummary.Share(name: "free", bytes: 3 << 30, isKernel: false),
        KernelMemorySummary.Share(name: "slab, unreclaimable", bytes: 1 << 30, isKernel: true),
      ])
    summary.slabUse = [
      KernelMemorySummary.Use(
        name: "filp", aliases: ["cred", "io_kiocb"], bytes: 512 << 20, count: 2_000_000, isReclaimable: false),
      KernelMemorySummary.Use(name: "dentry", bytes: 1 << 20, count: 5, isReclaimable: true),
    ]
    summary.vmallocUse = [KernelMemorySummary.Use(name: "kernel_clone", bytes: 4 << 20, count: 256)]
    report.kernelMemory = summary
    return report
  }
}
