import HostObservation
import KernelStatistics
import Testing

@Suite struct TargetTests {
  @Test(arguments: [
    ("/usr/bin/java", ["/usr/lib/jvm/lib/server/libjvm.so", "/lib/libc.so.6"], TargetProfile.Runtime.java),
    ("/usr/sbin/php-fpm8.2", ["/lib/libc.so.6"], .phpFPM),
    ("/usr/bin/php8.2", ["/lib/libc.so.6"], .php),
    ("/usr/bin/node", ["/lib/libc.so.6"], .node),
    ("/usr/bin/python3.11", ["/lib/libc.so.6"], .python),
    ("/usr/bin/uwsgi", ["/lib/libpython3.11.so.1.0"], .python),
    ("/usr/bin/ruby3.1", ["/lib/libruby-3.1.so"], .ruby),
    ("/usr/sbin/nginx", ["/lib/libc.so.6"], nil),
  ])
  func recognizesRuntimes(_ executable: String, _ paths: [String], _ runtime: TargetProfile.Runtime?) {
    #expect(TargetProfile(mappedPaths: paths, executable: executable, command: nil).runtime == runtime)
  }

  @Test func recognizesAllocators() {
    func allocator(_ paths: String...) -> TargetProfile.Allocator? {
      TargetProfile(mappedPaths: paths, executable: "/bin/a", command: nil).allocator
    }
    #expect(allocator("/lib/libc.so.6") == .glibc)
    #expect(allocator("/lib/libc.so.6", "/lib/libjemalloc.so.2") == .jemalloc)
    #expect(allocator("/lib/libtcmalloc_minimal.so.4", "/lib/libc.so.6") == .tcmalloc)
    #expect(allocator("/lib/ld-musl-x86_64.so.1") == .musl)
    #expect(allocator("/bin/static") == nil)
  }

  private func ranked(_ key: SeriesKey, owner: String? = nil, kind: GrowthKind? = nil) -> RankedSeries {
    var series = RankedSeries(
      key: key, judgement: TrendJudgement(([], [])), bytes: 0, share: 1, kinds: kind.map { [($0, UInt64(1))] } ?? [],
      points: ([], []), isReclaimable: false)
    series.owner = owner.flatMap(CgroupOwner.init(path:))
    return series
  }

  @Test func namesTheNextCommand() {
    let process = ranked(.process(42, startTimeInTicks: 1), owner: "/system.slice/web.service", kind: .heap)
    let native = NextStep(for: process, profile: TargetProfile(allocator: .jemalloc))
    #expect(native.command == "sudo leaktrace trace -p 42 --leak-check 10 6")
    #expect(native.reason.contains("jemalloc"))
    #expect(native.mitigation == "sudo leaktrace guard web.service --dry-run")
    let java = NextStep(for: process, profile: TargetProfile(runtime: .java))
    #expect(java.reason.contains("jcmd 42 GC.class_histogram"))
    let cache = NextStep(for: ranked(.slabCache("a b")), profile: nil)
    #expect(cache.command == "sudo leaktrace kernel --cache 'a b' --stacks all --duration 60s")
    let percpu = NextStep(for: ranked(.kernel(KernelMemory.Kind.percpu.rawValue)), profile: nil)
    #expect(percpu.command.contains("--source percpu"))
    let group = NextStep(for: ranked(.cgroup("/a"), kind: .anonymous), profile: nil, largestMember: 7)
    #expect(group.command.contains("-p 7"))
  }

  @Test func namesTheHolderOfRemovedFiles() {
    let holder = RemovedFile.Holder(processID: 9, command: "cache", descriptor: 5)
    let other = RemovedFile.Holder(processID: 10, command: "reader", descriptor: nil)
    let removed = RemovedFiles(files: [
      RemovedFile(name: "/dev/shm/a", bytes: 3 << 20, holders: [holder, other]),
      RemovedFile(name: "/dev/shm/b", bytes: 1 << 20, holders: [other]),
    ])
    #expect(removed.bytes == 4 << 20)
    #expect(removed.holders.map(\.processID) == [10, 9])
    var series = ranked(.tmpfs("/dev/shm"))
    series.bytes = 8 << 20
    let both = NextStep(for: series, profile: nil, removed: removed)
    #expect(both.command == "sudo grep '(deleted)' /proc/10/maps")
    let one = NextStep(for: series, profile: nil, removed: removed.held { $0 == 9 })
    #expect(one.command == "sudo ls -l /proc/9/fd | grep '(deleted)'")
    #expect(
      one.reason
        == "process 9 (cache) holds 3.0 MiB of a file without a name by its descriptor 5; "
        + "the memory comes back when they are closed")
    // Files that have a name are most of it, or nobody has looked: nothing is said of holders.
    series.bytes = 1 << 30
    for step in [NextStep(for: series, profile: nil, removed: removed), NextStep(for: series, profile: nil)] {
      #expect(step.command == "sudo du -xah /dev/shm | sort -h | tail")
      #expect(step.reason == "files in memory: they stay until somebody removes them")
    }
  }

  @Test func boundsAUnit() {
    let mebibyte: UInt64 = 1 << 20
    let level = MemoryGuard(unit: "a.service", workingSet: 400 * mebibyte, growth: 0, hostBytes: 8192 * mebibyte)
    #expect(level.highBytes == 500 * mebibyte)
    #expect(level.maxBytes == 600 * mebibyte)
    #expect(level.secondsToHigh == nil)
    #expect(
      level.text.contains("[Service]\nMemoryAccounting=yes\nMemoryHigh=500M\nMemoryMax=600M\nRestart=on-failure\n"))
    #expect(level.path == "/etc/systemd/system/a.service.d/50-leaktrace-memory.conf")
    // A day at 40 MiB an hour.
    let leaking = MemoryGuard(
      unit: "a.service", workingSet: 400 * mebibyte, growth: Double(40 * mebibyte) / 3600, hostBytes: 8192 * mebibyte)
    #expect(leaking.highBytes == 1360 * mebibyte)
    // Never more than the host has.
    let fast = MemoryGuard(unit: "a.service", workingSet: 400 * mebibyte, growth: 1e9, hostBytes: 1024 * mebibyte)
    #expect(fast.highBytes == 768 * mebibyte)
  }

  @Test func rendersForPeople() {
    var series = ranked(.process(42, startTimeInTicks: 1), kind: .heap)
    series.command = "a\u{1b}[31mb"
    series.bytes = 3 << 20
    series.points = ([1, 2, 3], [1, 2, 3])
    let report = ObservationReport(
      startInUnixSeconds: 0, duration: .seconds(60), samples: 60, intervalInSeconds: 1, totalBytes: 8 << 30,
      availableBytes: 4 << 30, counts: [.process: 1], entries: [.init(series: series)], secondsPerSample: 0.01)
    let text = ObservationText.render(report, sparklines: true)
    #expect(text.contains("observed for 1 m 00 s, 60 samples; 1 process\n"))
    #expect(text.contains("Nothing grows by more than moves at random."))
    #expect(text.contains("42 a\\x1b[31mb"))
    #expect(text.contains("▁▅█") || text.contains("▁▄█"))
    #expect(!text.contains("\u{1b}"))
    // 24 columns are for the course.
    #expect(ObservationText.render(report, sparklines: false).split(separator: "\n").allSatisfy { $0.count <= 80 })
    #expect(ObservationJSON.csv(report).split(separator: "\r\n").count == 2)
  }

  /// Every line but a command's fits a terminal of 80 columns, and the memory of programs is not called the kernel's own.
  @Test func fitsATerminal() {
    func growing(_ key: SeriesKey, _ command: String? = nil) -> ObservationReport.Entry {
      var series = RankedSeries(
        key: key,
        judgement: TrendJudgement(
          (Array(stride(from: 0.0, to: 60, by: 1)), Array(stride(from: 1e6, to: 61e6, by: 1e6)))),
        bytes: 0, share: 1, kinds: [(.heap, 1)], points: ([], []), isReclaimable: false)
      #expect(series.judgement.word == .growing)
      series.command = command
      series.bytes = 123_456_789_012
      let profile = TargetProfile()
      return .init(series: series, profile: profile, next: NextStep(for: series, profile: profile))
    }
    let entries = [
      growing(.process(1_234_567, startTimeInTicks: 1), "a-very-long-command"),
      growing(.kernel(KernelMemory.Kind.programs.rawValue)),
      growing(.cgroup("/system.slice/a-service-of-a-long-name-that-goes-on.service")),
      growing(.slabCache("a_cache_with_a_name_of_many_letters")),
      growing(.vmalloc("a_function_of_the_kernel_with_a_long_name")),
    ]
    var report = ObservationReport(
      startInUnixSeconds: 0, duration: .seconds(60), samples: 60, intervalInSeconds: 1, totalBytes: 8 << 40,
      availableBytes: 4 << 40,
      counts: Dictionary(uniqueKeysWithValues: SeriesKey.Kind.allCases.map { ($0, 123) }), entries: entries,
      secondsPerSample: 0.01)
    report.notes = [
      "a note of many words that goes on and on, so that it does not fit into one line of a terminal at all"
    ]
    for line in ObservationText.render(report, sparklines: false).split(separator: "\n") {
      #expect(line.count <= 80 || line.contains("next:") || line.contains("meanwhile:"), "\(line)")
    }
    let advice = entries[1].next
    #expect(advice?.reason.contains("not the kernel's own") == true && advice?.command.contains("kernel") == false)
  }
}
