import CTraceABI
import Glibc
import TestTools
import Testing

@testable import KernelTracing

extension Privileged {
  /// Full tables: what is refused is counted, and never part of the totals. And places that are given back.
  @Suite struct KernelLimitsTests {
    @Test func fullTableOfBlocks() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "eventfds", "5000"])
      let trace = try KernelTrace(
        ["-p", String(program.processID), "--call-site", "do_eventfd", "--max-allocations", "1000", "--exact"])
      try program.step()
      let report = try trace.report()
      let refused = report.loss["blocks_refused", default: 0]
      #expect(report.totals.outstandingCount + refused == 5000)
      #expect(report.totals.allocatedCount == report.totals.outstandingCount)
      // The table holds at least as many as were asked for, and a third more at most.
      #expect((1000...1344).contains(report.totals.outstandingCount))
      #expect(report.loss["bytes_refused"] == refused * 64)
      try program.step()
      let released = try trace.report { $0.totals.outstandingCount == 0 }
      #expect(released.totals.outstanding == Blocks(0, 0))
      #expect(released.totals.freedCount == released.totals.allocatedCount)
      // The frees of refused blocks are of blocks that nobody knows.
      #expect(released.totals.unmatchedFrees >= refused)
    }

    /// More blocks than are kept one by one become a sample. A third of the table is in reserve, so that nothing of this burst is
    /// refused before somebody has looked.
    @Test func fullTableBecomesASample() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "eventfds", "5000"])
      let trace = try KernelTrace(
        ["-p", String(program.processID), "--call-site", "do_eventfd", "--max-allocations", "4500"])
      try program.step()
      let report = try trace.report { $0.sampling?.everyNth ?? 0 > 1 }
      // Single blocks can find all of their places taken.
      #expect(report.loss["blocks_refused", default: 0] <= 5)
      // To half of 4,500 at most, by powers of two.
      let nth = Double(report.sampling?.everyNth ?? 0)
      #expect(nth == 4)
      let error = (5000 * (nth - 1)).squareRoot()
      #expect(abs(Double(report.totals.outstandingCount) - 5000) < 6 * error)
      #expect(report.totals.allocatedCount == report.totals.outstandingCount)
      #expect(report.totals.outstandingBytes == 64 * report.totals.outstandingCount)
      // What has been freed is gone without a rest.
      try program.step()
      let released = try trace.report { $0.totals.outstandingCount == 0 }
      #expect(released.totals.outstanding == Blocks(0, 0))
      #expect(released.totals.freedCount == released.totals.allocatedCount)
    }

    /// What security modules keep with inodes goes with these: a walk over many files must not take the room of a leak.
    @Test func noiseDoesNotFillTheTable() throws {
      guard String(decoding: contents(of: "/proc/slabinfo"), as: UTF8.self).contains("lsm_inode_cache") else {
        print("skipped: no security module of this kernel keeps anything with inodes")
        return
      }
      let directory = try TemporaryDirectory()
      func createFiles(_ count: Int, _ name: String) throws {
        for number in 0..<count {
          let file = open(directory.file("\(name)\(number)"), O_CREAT | O_WRONLY, 0o600)
          try #require(file >= 0)
          close(file)
        }
      }
      func left(_ report: KernelReport) -> UInt64 {
        report.kernel.leftOut.filter { $0.reason.contains("security modules") }.reduce(0) { $0 + $1.outstandingCount }
      }
      let trace = try KernelTrace(["-p", String(getpid()), "--max-allocations", "4000"])
      try createFiles(1500, "first")
      _ = try trace.report { left($0) > 250 }
      // A sixteenth of the table is enough for it, which is looked at once a second: in the time of the tracer, who makes
      // five reports a second and leaves out those that it comes too late for.
      for _ in 0..<12 { _ = try trace.nextReport() }
      try createFiles(6000, "second")
      let report = try trace.report { $0.kernel.counters["reclaimable_blocks", default: 0] >= 6000 }
      #expect((251...1600).contains(left(report)))
      #expect(report.loss["blocks_refused", default: 0] == 0)
    }

    /// More callers than there is room for: each block is recorded or refused.
    @Test func fullTableOfSites() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "pipes", "200"])
      // A quiet host has too few callers.
      let others = try RunningProgram([
        "sh", "-c",
        "while :; do (ls -lR /etc /proc/self/; cat /proc/[0-9]*/status; ps -ef; mktemp -u) >/dev/null 2>&1; done",
      ])
      defer { kill(others.processID, SIGKILL) }
      let trace = try KernelTrace(["--stacks", "all", "--all", "--max-sites", "1"])
      try program.step()
      let report = try trace.report { $0.loss["sites_refused", default: 0] > 0 }
      #expect(report.loss["sites_refused", default: 0] > 0)
      // Twice 64 at least.
      #expect(report.sites.count <= 128)
      let outcome = try LeakTrace.kernel(["--stacks", "all", "--all", "--max-sites", "1", "--duration", "2"])
      #expect(outcome.output.contains("because the table of call sites was full"))
    }

    /// Sites with nothing outstanding make room when half of the places are taken, and their numbers stay in the totals.
    @Test func sitesAreReclaimed() throws {
      var configuration = KernelTraceConfiguration()
      configuration.maximumSites = 64
      configuration.maximumAllocations = 64
      let programs = try KernelTracing.KernelPrograms(configuration, KernelTracing.KernelPrograms.Surroundings())
      let tables = programs.tables
      let sites = tables.sites.entries
      // Of 100 sites every tenth holds something; one wants stacks.
      for index in 0..<100 {
        sites[index].key = UInt64(index * 2 + 1)
        sites[index].is_ready = 1
        sites[index].allocated_bytes = 640
        sites[index].allocated_count = 10
        sites[index].freed_bytes = index % 10 == 0 ? 64 : 640
        sites[index].freed_count = index % 10 == 0 ? 1 : 10
      }
      sites[5].flags = UInt32(LT_KERNEL_SITE_WANTS_STACK.rawValue)
      var reclamation = KernelSiteReclamation()
      let second: UInt64 = 1_000_000_000
      reclamation.run(tables: tables, capacity: 128, now: 10 * second)
      // Hidden first: their places stay taken for as long as a program could have found them before.
      #expect(tables.sites.usedCount == 100)
      #expect(sites.count { $0.key & 1 == 1 } == 11)
      // One allocates once more, from a program that had found it before.
      sites[7].allocated_count += 1
      sites[7].allocated_bytes += 64
      reclamation.run(tables: tables, capacity: 128, now: 11 * second)
      #expect(tables.sites.usedCount == 12)
      #expect(sites[7].key == 15 && sites[7].allocated_count == 11)
      #expect(sites[5].key == 11)
      #expect(reclamation.retired.count == 88 * 10)
      #expect(reclamation.retired.bytes == 88 * 640)
      // Now there is room: nothing more is taken.
      reclamation.run(tables: tables, capacity: 128, now: 12 * second)
      #expect(tables.sites.usedCount == 12)
      withExtendedLifetime(programs) {}
    }

    /// Thousands of objects made and released all the time: sums stay in balance, and nothing is left when it ends.
    @Test func balanceUnderLoad() throws {
      let program = try TracedProgram([KernelObjectsTests.program(), "churn", "100"])
      let trace = try KernelTrace(["-p", String(program.processID), "--stacks", "all", "--call-site", "do_eventfd"])
      program.letGo()
      _ = try trace.report { $0.totals.allocatedCount > 10_000 }
      kill(program.processID, SIGKILL)
      let report = try trace.report { $0.totals.outstandingCount == 0 }
      #expect(report.totals.allocatedCount > 1000)
      // What was freed while the same event was being recorded is counted as such.
      #expect(report.totals.outstandingCount <= report.loss["recursion_misses", default: 0])
      #expect(report.losses == [:])
    }
  }
}
