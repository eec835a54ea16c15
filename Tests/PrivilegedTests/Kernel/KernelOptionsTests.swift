import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// What the options of `leaktrace kernel` choose.
  @Suite struct KernelOptionsTests {
    private static let pipes = "create_pipe_files"

    private func hold(_ kind: String = "pipes", _ count: Int = 50, _ options: [String]) throws -> KernelReport {
      let program = try TracedProgram([KernelObjectsTests.program(), kind, String(count)])
      let trace = try KernelTrace(options.map { $0 == "PID" ? String(program.processID) : $0 })
      try program.step()
      return try trace.report()
    }

    @Test func process() throws {
      let report = try hold("pipes", 50, ["-p", "1"])
      #expect(report.outstanding(in: Self.pipes).count == 0)
      let own = try hold("pipes", 50, ["-p", "PID", "--stacks", "all"])
      #expect(own.outstanding(in: Self.pipes, cache: "filp").count == 100)
      let processes = Set(own.sites.flatMap { $0.kernel.processes.map(\.pid) })
      #expect(processes.count == 1)
      #expect(own.kernel.processes.count == 1)
    }

    /// Those that were asked for, whichever way, and no others.
    @Test func severalProcesses() throws {
      let programs = try (0..<3).map { _ in try TracedProgram([KernelObjectsTests.program(), "pipes", "50"]) }
      let ids = programs.map { String($0.processID) }
      for options in [["-p", "\(ids[0]),\(ids[1])"], ["-p", ids[0], "-p", ids[1]]] {
        let trace = try KernelTrace(options + ["--stacks", "all"])
        let isFirst = options.count == 2
        if isFirst { for program in programs { try program.step() } }
        let report = try trace.report()
        #expect(report.outstanding(in: Self.pipes, cache: "filp").count == (isFirst ? 200 : 0))
        let seen = Set(report.sites.flatMap { $0.kernel.processes.map(\.pid) })
        #expect(seen.isSubset(of: Set(programs.prefix(2).map(\.processID))))
        if isFirst { #expect(seen.count == 2) }
      }
    }

    @Test func commandName() throws {
      let command = String(try KernelObjectsTests.program().split(separator: "/").last!.prefix(15))
      let report = try hold("pipes", 50, ["--comm", command, "--stacks", "all"])
      #expect(report.outstanding(in: Self.pipes, cache: "filp").count == 100)
      #expect(report.sites.allSatisfy { $0.kernel.processes.allSatisfy { $0.command == command } })
      #expect(try hold("pipes", 50, ["--comm", "no-such-name"]).sites.isEmpty)
    }

    @Test func cgroup() throws {
      let root = try #require(Self.cgroupRoot, "no cgroup v2 hierarchy on this host")
      let path = "\(root)/leaktrace-test-\(getpid())"
      try #require(mkdir(path, 0o755) == 0)
      let program = try TracedProgram([KernelObjectsTests.program(), "pipes", "50"])
      defer {
        kill(program.processID, SIGKILL)
        _ = eventually(within: 5) { rmdir(path) == 0 }
      }
      try "\(program.processID)".write(toFile: path + "/cgroup.procs", atomically: false, encoding: .utf8)
      // By its full path and by its path below the root.
      for name in [path, "/leaktrace-test-\(getpid())"] {
        let trace = try KernelTrace(["--cgroup", name, "--stacks", "all"])
        if name == path { try program.step() }
        let report = try trace.report()
        let expected: UInt64 = name == path ? 100 : 0
        #expect(report.outstanding(in: Self.pipes, cache: "filp").count == expected)
        #expect(report.sites.allSatisfy { $0.kernel.processes.allSatisfy { $0.pid == program.processID } })
      }
    }

    /// Anywhere in the hierarchy, as in `trace`.
    @Test func cgroupByTheNameOfAUnit() throws {
      let root = try #require(Self.cgroupRoot, "no cgroup v2 hierarchy on this host")
      let outer = "\(root)/leaktrace-outer-\(getpid())"
      let unit = "leaktrace-\(getpid()).service"
      for path in [outer, "\(outer)/\(unit)"] { try #require(mkdir(path, 0o755) == 0) }
      let program = try TracedProgram([KernelObjectsTests.program(), "pipes", "50"])
      defer {
        kill(program.processID, SIGKILL)
        for path in ["\(outer)/\(unit)", outer] {
          _ = eventually(within: 5) { rmdir(path) == 0 }
        }
      }
      try "\(program.processID)".write(toFile: "\(outer)/\(unit)/cgroup.procs", atomically: false, encoding: .utf8)
      let trace = try KernelTrace(["--cgroup", unit, "--stacks", "all"])
      try program.step()
      let report = try trace.report()
      #expect(report.outstanding(in: Self.pipes, cache: "filp").count == 100)
      #expect(report.sites.allSatisfy { $0.kernel.processes.allSatisfy { $0.pid == program.processID } })
    }

    private static let cgroupRoot: String? = {
      let text = String(decoding: contents(of: "/proc/self/mountinfo"), as: UTF8.self)
      let line = text.split(separator: "\n").first { $0.contains(" - cgroup2 ") }
      return line.map { String($0.split(separator: " ")[4]) }
    }()

    /// By the name that it is merged under and by its own.
    @Test func cacheByAnyName() throws {
      let names = try #require(
        try hold("epoll", 20, ["-p", "PID", "--stacks", "all"])
          .sites.first { $0.cacheNames.contains("eventpoll_pwq") }?.cacheNames)
      #expect(names.count > 1, "this kernel does not merge caches")
      for name in names.prefix(3) {
        let report = try hold("epoll", 20, ["-p", "PID", "--stacks", "all", "--cache", name])
        #expect(report.outstanding(in: "do_epoll_ctl", cache: "eventpoll_pwq").count == 20)
        #expect(report.sites.allSatisfy { $0.cacheNames.contains("eventpoll_pwq") })
      }
    }

    @Test func cacheOfKmalloc() throws {
      let report = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "--cache", "kmalloc-cg-1k"])
      #expect(report.outstanding(in: "alloc_pipe_info") == Blocks(50 * 1024, 50))
      #expect(report.sites.allSatisfy { $0.kernel.cache == "kmalloc-cg-1k" })
    }

    @Test func callSite() throws {
      let report = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "--call-site", "alloc_pipe_info"])
      #expect(report.sites.allSatisfy { $0.functions.first == "alloc_pipe_info" })
      #expect(report.outstanding(in: "alloc_pipe_info", cache: "kmalloc-cg-1k").count == 50)
    }

    /// Where the tracepoint does not name the caller, the stack does.
    @Test func callSiteOfVmalloc() throws {
      let report = try hold("mapped_maps", 10, ["-p", "PID", "--call-site", "array_map_alloc"])
      #expect(report.outstanding(in: "array_map_alloc", class: "vmalloc").count == 10)
      #expect(report.sites.allSatisfy { $0.functions.contains("array_map_alloc") })
    }

    @Test func sizes() throws {
      let large = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "-z", "512"])
      #expect(large.outstanding(in: "alloc_pipe_info") == Blocks(50 * 1024, 50))
      #expect(large.outstanding(in: Self.pipes, cache: "filp").count == 0)
      let small = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "-Z", "512"])
      #expect(small.outstanding(in: "alloc_pipe_info", cache: "kmalloc-cg-1k").count == 0)
      #expect(small.outstanding(in: Self.pipes, cache: "filp").count == 100)
    }

    @Test func sources() throws {
      for source in ["slab", "vmalloc", "percpu"] {
        let report = try hold("mapped_maps", 10, ["-p", "PID", "--all", "--source", source])
        #expect(report.sites.allSatisfy { $0.class == source })
        #expect(report.sites.isEmpty == (source == "percpu"))
      }
      let percpu = try hold("percpu_maps", 10, ["-p", "PID", "--percpu"])
      #expect(percpu.sites.allSatisfy { $0.class == "percpu" })
      #expect(percpu.sites.reduce(0) { $0 + $1.outstandingCount } >= 10)
    }

    @Test func minimumAge() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "pipes", "50"])
      let trace = try KernelTrace(["-p", String(program.processID), "--stacks", "all", "-o", "2000"])
      try program.step()
      let young = try trace.report()
      #expect(young.outstanding(in: Self.pipes).count == 0)
      // The totals know them nevertheless.
      #expect(young.totals.outstandingCount >= 150)
      let old = try trace.report { $0.outstanding(in: Self.pipes, cache: "filp").count == 100 }
      #expect(old.outstanding(in: Self.pipes, cache: "filp").count == 100)
      #expect(old.sites.allSatisfy { $0.oldestAgeSeconds ?? 0 >= 2 })
    }

    @Test func singleBlocks() throws {
      let report = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "-a"])
      let site = try #require(
        report.sites.first { $0.cacheNames.contains("kmalloc-cg-1k") && $0.functions.first == "alloc_pipe_info" })
      #expect(site.allocations.count == 50)
      #expect(Set(site.allocations.map(\.address)).count == 50)
      #expect(site.allocations.allSatisfy { $0.size == 1024 && $0.address.hasPrefix("0xffff") && $0.ageSeconds < 60 })
    }

    @Test func onlyTotals() throws {
      let report = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "--combined-only"])
      #expect(report.outstanding(in: Self.pipes, cache: "filp").count == 100)
      #expect(report.sites.allSatisfy { $0.oldestAgeSeconds == nil && $0.kernel.processes.isEmpty })
    }

    @Test func order() throws {
      let bytes = try hold("pipes", 50, ["-p", "PID", "--stacks", "all"]).sites.filter { $0.kernel.doubt == nil }
      #expect(bytes.map(\.outstandingBytes) == bytes.map(\.outstandingBytes).sorted(by: >))
      let counts = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "--sort", "count"]).sites
        .filter { $0.kernel.doubt == nil }
      #expect(counts.map(\.outstandingCount) == counts.map(\.outstandingCount).sorted(by: >))
      let whole = try hold("pipes", 50, ["-p", "PID", "--stacks", "all", "-T", "1"])
      #expect(whole.sites.count > 1, "a recording holds everything")
    }

    @Test func withoutStacks() throws {
      let report = try hold("mapped_maps", 20, ["-p", "PID", "--stacks", "none"])
      #expect(report.sites.allSatisfy { $0.frames.count <= 1 && !$0.stackComplete })
      // Without stacks nobody knows who called vmalloc; the sum is right all the same.
      #expect(report.sites.filter { $0.class == "vmalloc" }.map(\.outstanding) == [Blocks(20 * 9 * 4096, 20)])
    }

    /// The default: callers only, and the whole stack of what grows.
    @Test func suspectsGetStacks() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "drip", "5"])
      let trace = try KernelTrace([])
      program.letGo()
      let report = try trace.report(within: patience) { report in
        report.sites.contains {
          $0.kernel.suspect && $0.stackComplete && $0.pid == program.processID && $0.growth?.word == "growing"
        }
      }
      let found = report.sites.filter { $0.kernel.suspect && $0.stackComplete && $0.pid == program.processID }
      let site = try #require(found.first { $0.growth?.word == "growing" }, "\(KernelObjectsTests.describe(report))")
      #expect(site.functions.contains("do_eventfd") || site.functions.contains("__do_sys_eventfd2"))
      #expect(site.functions.contains("do_syscall_64"))
      #expect(site.kernel.doubt == nil)
      // What others do in balance costs no stacks. Blocks too large for a cache have them always, and one whose blocks are in
      // doubt by now has been a suspect.
      let withStacks = report.sites.filter { $0.stackComplete && $0.kernel.cache != nil && $0.kernel.doubt == nil }
      #expect(withStacks.allSatisfy { $0.kernel.suspect }, "\(KernelObjectsTests.describe(report))")
      #expect(report.sites.contains { $0.stackCompleteness == "caller_only" && $0.frames.count == 1 })
    }

    @Test func sampled() throws {
      let report = try hold("eventfds", 8000, ["-p", "PID", "--stacks", "all", "-s", "4", "--call-site", "do_eventfd"])
      #expect(report.sampling?.everyNth == 4)
      let site = try #require(
        report.sites.first { $0.functions.first == "do_eventfd" }, "\(KernelObjectsTests.describe(report))")
      let error = try #require(site.outstandingBytesStandardError)
      // One in four of 8,000 blocks of 64 bytes: within five standard errors.
      #expect(error > 64 * 100 && error < 64 * 250)
      #expect(abs(Double(site.outstandingBytes) - 64 * 8000) < 5 * error)
      #expect(site.outstandingCount % 4 == 0)
    }

    @Test func everyEvent() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "eventfds", "20"])
      let running = try RunningProgram(
        [LeakTrace.program, "kernel", "-t", "-p", String(program.processID), "--call-site", "do_eventfd", "0.3"],
        capturesErrors: true)
      var lines: [String] = []
      while !lines.contains(where: { $0.hasPrefix("leaktrace: the kernel") }) {
        lines.append(running.readLine(timeout: patience))
      }
      try program.step()
      try program.step()
      var events: [String] = []
      func isFree(_ event: String) -> Bool {
        event.contains("free(0xffff") && event.hasSuffix("64 bytes allocated by do_eventfd")
      }
      let thread = " \(program.processID)/\(program.processID) "
      let end = secondsNow() + patience
      while !events.contains(where: isFree), secondsNow() < end {
        let line = running.readLine(timeout: patience)
        if line.contains(thread) { events.append(line) }
      }
      kill(running.processID, SIGINT)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 130)
      events += outcome.output.split(separator: "\n").map(String.init).filter { $0.contains(thread) }
      #expect(events.count { $0.contains("kmalloc(64) = 0xffff") && $0.hasSuffix(" by do_eventfd") } == 20)
      #expect(events.contains(where: isFree))
    }

    /// leaktrace's own work is not the host's.
    @Test func ownAllocationsAreLeftOut() throws {
      let trace = try KernelTrace(["--stacks", "all", "--all", "--pages"])
      let report = try trace.report()
      #expect(!report.kernel.processes.contains { $0.pid == trace.running.processID })
      #expect(!report.sites.contains { $0.kernel.processes.contains { $0.pid == trace.running.processID } })
    }

    /// What the kernel takes back by itself is not recorded, which the report says; and is when it is asked for.
    @Test func reclaimableCachesAreLeftOut() throws {
      let directory = try TemporaryDirectory()
      for isAsked in [false, true] {
        let program = try TracedProgram([KernelObjectsTests.program(), "files", "100", directory.path])
        let options = ["-p", String(program.processID), "--stacks", "all", "--pages"]
        let trace = try KernelTrace(options + (isAsked ? ["--all"] : []))
        try program.step()
        let report = try trace.report()
        #expect(report.sites.contains { $0.kernel.reclaimable } == isAsked)
        #expect((report.kernel.counters["reclaimable_blocks", default: 0] >= 100) == !isAsked)
        try program.step()
      }
    }

    /// Memory that other accounts have is left out, by name.
    @Test func noiseIsNamed() throws {
      let report = try hold("pipes", 2000, ["-p", "PID", "--stacks", "all", "--pages"])
      let slab = try #require(report.kernel.leftOut.first { $0.reason.contains("slab caches") })
      #expect(slab.outstandingCount >= 10)
      #expect(!report.sites.contains { $0.functions.contains("allocate_slab") && $0.class == "pages" })
      let all = try hold("pipes", 2000, ["-p", "PID", "--stacks", "all", "--pages", "--all"])
      #expect(all.kernel.leftOut.isEmpty)
      #expect(all.sites.contains { $0.functions.contains("allocate_slab") && $0.class == "pages" })
    }

    /// By /proc alone, as where no probe can be attached.
    @Test func polling() throws {
      var report = try polledMaps()
      // Only sums are known: what others on this host give back of the same kind meanwhile is missing from them.
      for _ in 0..<4 where Self.sitesOfMaps(report).map(\.outstanding) != [Blocks(30 * 9 * 4096, 30)] {
        report = try polledMaps()
      }
      #expect(report.kernel.hooks.map(\.method) == ["polling", "polling"])
      let sites = Self.sitesOfMaps(report)
      #expect(sites.map(\.outstanding) == [Blocks(30 * 9 * 4096, 30)], "\(KernelObjectsTests.describe(report))")
      #expect(sites.allSatisfy { $0.kernel.doubt != nil && !$0.stackComplete })
    }

    private func polledMaps() throws -> KernelReport {
      let program = try TracedProgram([KernelObjectsTests.program(), "mapped_maps", "30"])
      let trace = try KernelTrace(["--source", "vmalloc", "--methods", "polling"])
      try program.step()
      return try trace.report()
    }

    private static func sitesOfMaps(_ report: KernelReport) -> [KernelReport.Site] {
      report.sites.filter { $0.functions == ["array_map_alloc"] }
    }
  }
}
