import Glibc
import TestTools
import Testing

extension Privileged {
  /// memleak's options and ours.
  @Suite struct OptionsTests {
    // MARK: Sizes

    @Test(arguments: [
      (["-z", "200"], Blocks(5_000 + 100_000 + 300, 3)),
      // With the 7 bytes of the constructor.
      (["-Z", "299"], Blocks(807, 51)),
      (["-z", "16", "-Z", "300"], Blocks(1100, 51)),
      (["--min-size", "4K", "--max-size", "8k"], Blocks(5000, 1)),
      (["-z", "301", "-Z", "4999"], Blocks(0, 0)),
    ])
    func sizeFilters(options: [String], outstanding: Blocks) throws {
      let report = try LeakTrace.report(of: [program(), "order"], options + ["--no-mappings"])
      #expect(report.totals.outstanding == outstanding)
      #expect(report.losses == [:])
    }

    // MARK: What a report shows

    @Test func sortedAndCut() throws {
      let program = try TracedProgram([program(), "order"])
      let expected: [(order: String, sizes: [UInt64])] = [
        ("bytes", [100_000, 5000, 800, 300]), ("size", [100_000, 5000, 800, 300]),
        ("count", [800, 100_000, 5000, 300]), ("age", [800, 100_000, 300, 5000]),
      ]
      let attachments = try expected.map {
        try Attachment(to: program, ["--sort", $0.order, "--no-mappings"])
      }
      let all = try Attachment(to: program, ["-T", "3"])
      try program.step()
      try program.step()
      try program.step()
      for (attachment, (order, sizes)) in zip(attachments, expected) {
        let report = try attachment.interrupt()
        #expect(report.sites.map(\.outstandingBytes) == sizes, "\(order)")
        #expect(report.totals.outstanding == Blocks(106_100, 53))
      }
      let report = try all.interrupt()
      #expect(report.sites.map(\.outstandingBytes) == [100_000, 5000, 800, 300], "a recording holds everything")
      #expect(report.totals.outstanding == Blocks(106_100, 53), "what is not shown counts all the same")
    }

    /// Growth since the report before.
    @Test func sortedByGrowth() throws {
      let program = try TracedProgram([program(), "order"])
      let attachment = try Attachment(to: program, ["--sort", "growth"], interval: "400ms")
      try program.step()
      _ = try attachment.report { $0.totals.outstandingCount == 50 }
      try program.step()
      let first = try attachment.report { $0.totals.outstandingCount == 52 }
      #expect(first.sites.map(\.outstandingBytes) == [100_000, 300, 800])
      try program.step()
      let second = try attachment.report { $0.totals.outstandingCount == 53 }
      #expect(second.sites.first?.outstandingBytes == 5000)
      #expect(second.sites.map(\.outstandingBytes).sorted() == [300, 800, 5000, 100_000])
    }

    @Test func olderThan() throws {
      let report = try undisturbed(within: 2) {
        let program = try TracedProgram([program(), "order"])
        let attachment = try Attachment(to: program, ["-o", "2000"], interval: "200ms")
        #expect(try attachment.nextReport().sites.isEmpty)
        try program.step()
        #expect(try attachment.report(within: patience) { !$0.sites.isEmpty }.sites.first?.outstandingCount == 50)
        let start = ContinuousClock.now
        try program.step()
        let report = try attachment.interrupt()
        return (report, ContinuousClock.now - start)
      }
      // 50 small blocks are old enough, the others are not.
      #expect(report.sites.map(\.outstanding) == [Blocks(800, 50)])
      #expect(report.sites.allSatisfy { ($0.oldestAgeSeconds ?? 0) >= 2 })
      #expect(report.totals.outstanding == Blocks(100_000 + 300 + 800, 52))
    }

    @Test func agesAreRight() throws {
      let program = try TracedProgram([program(), "order"])
      let attachment = try Attachment(to: program, ["-a"])
      let before = secondsNow()
      try program.step()
      pause(milliseconds: 500)
      let report = try attachment.interrupt()
      let age = secondsNow() - before
      let site = try #require(report.sites(in: "many_small").first)
      #expect(site.allocations.count == 50)
      #expect(site.allocations.allSatisfy { $0.ageSeconds >= 0.5 && $0.ageSeconds <= age })
      let oldest = try #require(site.oldestAgeSeconds)
      #expect(oldest == site.allocations.map(\.ageSeconds).max())
    }

    @Test func everyBlockIsListed() throws {
      let program = try TracedProgram([program(), "shown"])
      let attachment = try Attachment(to: program, ["-a"])
      program.letGo()
      let addresses = (0..<5).map { _ in program.readLine() }
      try program.wait()
      let report = try attachment.interrupt()
      let listed = report.sites.flatMap(\.allocations).sorted { $0.size < $1.size }
      #expect(listed.map(\.size) == [501, 502, 503, 504, 505])
      #expect(listed.map(\.address) == addresses)
    }

    @Test func everyBlockIsListedInText() throws {
      let outcome = try LeakTrace.trace(["-a", "--", program(), "shown"])
      let addresses = outcome.output.split(separator: "\n").filter { $0.hasPrefix("0x") }
      #expect(addresses.count == 5)
      for (address, size) in zip(addresses, 501...) {
        #expect(outcome.output.contains("addr = \(address.dropFirst(2)) size = \(size) "))
      }
    }

    @Test func blocksAreNotListedUnlessAskedFor() throws {
      let report = try LeakTrace.report(of: [program(), "shown"])
      #expect(report.sites.allSatisfy { $0.allocations.isEmpty })
    }

    /// Totals per stack alone: no ages, no blocks, the same numbers.
    @Test func combinedOnly() throws {
      let report = try LeakTrace.report(of: [program(), "order"], ["--combined-only", "--no-mappings"])
      #expect(report.totals.outstanding == Blocks(106_100 + 7, 54))
      #expect(report.sites.map(\.outstandingBytes) == [100_000, 5000, 800, 300, 7])
      #expect(report.sites.allSatisfy { $0.oldestAgeSeconds == nil && $0.allocations.isEmpty })
    }

    @Test(arguments: ["--wa-missing-free", "--percpu"]) func acceptedForMemleak(option: String) throws {
      let report = try LeakTrace.report(of: [program(), "order"], [option, "--no-mappings"])
      #expect(report.totals.outstanding == Blocks(106_107, 54))
    }

    // MARK: Events

    /// Every allocation and free in its order, once.
    @Test func everyEventIsPrinted() throws {
      let outcome = try LeakTrace.trace(
        ["-t", "--", Programs.compile("threads.c", ["-fno-builtin"]), "freed_elsewhere"])
      let events = outcome.output.split(separator: "\n").filter { $0.contains("malloc(48) = ") }
      #expect(events.count == 100)
      var addresses: [Substring] = []
      for event in events { addresses.append(event.split(separator: " ").last ?? "") }
      let frees = outcome.output.split(separator: "\n").filter { $0.contains("free(") && $0.contains(" 48 bytes") }
      #expect(frees.count == 90)
      for (free, address) in zip(frees, addresses) { #expect(free.contains("free(\(address))")) }
      // Allocated by one thread, freed by another.
      #expect(Set(events.compactMap { $0.split(separator: " ").dropFirst().first }).count == 1)
      let freeing = Set(frees.compactMap { $0.split(separator: " ").dropFirst().first })
      #expect(freeing.count == 1)
      #expect(freeing.isDisjoint(with: events.compactMap { $0.split(separator: " ").dropFirst().first }))
    }

    // MARK: When reports come

    @Test func intervalAndCount() throws {
      let program = try TracedProgram([program(), "order"])
      let start = secondsNow()
      let outcome = try LeakTrace.trace(
        ["--format", "json", "-p", String(program.processID), "0.2", "3"])
      #expect(outcome.status == 0)
      #expect(try outcome.reports().count == 3)
      #expect(outcome.output.split(separator: "\n").count == 3, "one line per report")
      let windows = try outcome.reports().map(\.window.durationSeconds)
      for (window, expected) in zip(windows, [0.2, 0.4, 0.6]) {
        #expect(window >= expected && window < expected + 0.6)
      }
      #expect(secondsNow() - start >= 0.6)
    }

    @Test func durationGivesOneReport() throws {
      let program = try TracedProgram([program(), "order"])
      let outcome = try LeakTrace.trace(
        ["--format", "json", "--duration", "500ms", "-p", String(program.processID)])
      #expect(outcome.status == 0)
      #expect(try outcome.reports().count == 1)
      #expect(try outcome.report().window.durationSeconds >= 0.5)
    }

    @Test func durationWithInterval() throws {
      let program = try TracedProgram([program(), "order"])
      let outcome = try LeakTrace.trace(
        ["--format", "json", "--duration", "700ms", "-p", String(program.processID), "300ms"])
      #expect(outcome.status == 0)
      // After 0.3 s, after 0.6 s, and at the end.
      #expect(try outcome.reports().count == 3)
    }

    // MARK: Where reports go

    @Test func severalDestinations() throws {
      let directory = try TemporaryDirectory()
      let outcome = try LeakTrace.trace([
        "--format", "json", "--output", directory.file("report.json"), "--format", "text",
        "--output", directory.file("report.txt"), "--", program(), "order",
      ])
      #expect(outcome.status == 0)
      #expect(!outcome.output.contains("leaktrace"))
      let json = String(decoding: contents(of: directory.file("report.json")), as: UTF8.self)
      let report = try TraceReport(json: json)
      #expect(report.outstanding(in: "many_small") == Blocks(800, 50))
      let text = String(decoding: contents(of: directory.file("report.txt")), as: UTF8.self)
      #expect(text.contains(": 800 bytes in 50 blocks"))
      for file in ["report.json", "report.txt"] {
        var status = stat()
        #expect(stat(directory.file(file), &status) == 0 && status.st_mode & 0o777 == 0o600)
      }
    }

    @Test func verboseListsTheProbes() throws {
      let outcome = try LeakTrace.trace(["-v", "--", program(), "order"])
      #expect(outcome.output.contains("malloc+0x0 [libc.so.6] uprobe.session on 'push"))
      #expect(outcome.output.contains("free+0x9 [libc.so.6]"))
    }

    // MARK: Stacks

    /// Ten functions that call each other, compiled without frame pointers: all named, in order.
    @Test(arguments: [["-fomit-frame-pointer"], ["-fno-omit-frame-pointer"]])
    func deepStackIsNamed(flags: [String]) throws {
      let report = try LeakTrace.report(
        of: [Programs.compile("options.c", ["-fno-builtin"] + flags), "deep"])
      let site = try #require(report.sites.first { $0.outstandingBytes == 1234 })
      #expect(Array(site.functions.prefix(11)) == (1...10).map { "level_\($0)" } + ["main"])
      #expect(site.functions.last == "_start")
      #expect(site.stackComplete)
      #expect(site.frames.allSatisfy { $0.module != nil })
    }

    /// The kernel's own links per probe, which older kernels need, count the same.
    @Test func fallbackToPerfEvents() throws {
      let report = try LeakTrace.report(
        of: [Programs.compile("heap.c", ["-fno-builtin"])], ["--perf-links"])
      #expect(report.probes.allSatisfy { $0.kind == "perf uprobe" })
      var outstanding = Blocks(0, 0)
      for heapCase in HeapFunctionsTests.cases {
        #expect(report.outstanding(in: heapCase.function) == heapCase.outstanding, "\(heapCase.name)")
        outstanding += heapCase.outstanding
      }
      #expect(report.totals.outstanding == outstanding)
      #expect(report.losses == [:])
    }

    /// So do probes on the functions' first bytes.
    @Test func probesOnEntries() throws {
      let report = try LeakTrace.report(
        of: [Programs.compile("heap.c", ["-fno-builtin"])], ["--probe-entries"])
      for heapCase in HeapFunctionsTests.cases {
        #expect(report.outstanding(in: heapCase.function) == heapCase.outstanding, "\(heapCase.name)")
      }
      #expect(report.losses == [:])
    }

    private func program() throws -> String { try Programs.compile("options.c", ["-fno-builtin"]) }

    /// What a kernel without the unwinder has to offer, and that the report says so.
    @Test(arguments: ["--unwinder-refused", "--frame-pointers"])
    func stacksByFramePointers(option: String) throws {
      let program = try Programs.compile(
        "plain.c", ["-fno-builtin", "-Wno-alloc-size-larger-than", "-fno-omit-frame-pointer"])
      let report = try LeakTrace.report(of: [program], [option])
      #expect(report.totals.outstanding == Blocks(4200, 3))
      #expect(report.sites.allSatisfy { $0.stackCompleteness == "frame_pointers_only" && !$0.stackComplete })
      let chains = report.sites.map { Array($0.functions.prefix(2)) }
      #expect(chains == Array(repeating: ["case_plain", "main"], count: 3))
      let note = try #require(report.notes.first { $0.hasPrefix("stacks follow frame pointers only") })
      #expect(note.contains("the kernel refuses the unwinder") == (option == "--unwinder-refused"))
    }
  }
}
