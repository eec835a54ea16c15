import TestTools
import Testing

extension Privileged {
  /// Threads that free each other's blocks and end in every way.
  ///
  /// The C library's own blocks (a thread's vector of thread-local memory, the unwinder that pthread_exit loads) come on
  /// top, so the blocks of the program are told by their stacks.
  @Suite struct ThreadsTests {
    @Test func blocksFreedByAnotherThread() throws {
      let report = try trace("freed_elsewhere")
      let site = try #require(report.sites.first { $0.functions.first == "case_freed_elsewhere" })
      #expect(site.outstanding == Blocks(480, 10))
      #expect(site.allocated == Blocks(4800, 100))
      #expect(site.freed == Blocks(4320, 90))
    }

    @Test func blocksOutliveTheirThread() throws {
      let report = try trace("ending")
      #expect(report.outstanding(in: "leave_five") == Blocks(1000, 5))
      let site = try #require(report.sites(in: "leave_five").first)
      #expect(site.stackComplete)
      #expect(site.functions.prefix(2) == ["leave_five", "start_thread"])
    }

    @Test func threadThatLeavesByPthreadExit() throws {
      let report = try trace("pthread_exit")
      let own = report.sites.filter { $0.functions.first == "leave_by_exit" }
      #expect(own.map(\.outstanding) == [Blocks(300, 1)])
      #expect(report.outstanding(in: "clean_up") == Blocks(61, 1))
    }

    @Test func threadThatIsCancelledWhileItAllocates() throws {
      let report = try trace("cancelled")
      #expect(report.outstanding(in: "allocate_for_ever") == Blocks(0, 0))
      let own = report.sites.filter { $0.functions.first == "case_cancelled" }
      #expect(own.map(\.outstanding) == [Blocks(34, 1)])
    }

    /// 8 · 10,000 pairs, of which each hundredth block stays.
    @Test func eightThreadsAtOnce() throws {
      let report = try trace("eight")
      let site = try #require(report.sites(in: "ten_thousand").first)
      let bytesOfEach: UInt64 = (0..<8).reduce(0) { $0 + 16 + UInt64($1) }
      #expect(site.outstanding == Blocks(100 * bytesOfEach, 800))
      #expect(site.allocated == Blocks(10_000 * bytesOfEach, 80_000))
      #expect(site.freed == Blocks(9900 * bytesOfEach, 79_200))
      // glibc gives a thread's cache back when the thread ends: the cache, and the one block in it once more.
      #expect(report.totals.unmatchedFrees == 16)
    }

    @Test func blockHandedFromThreadToThread() throws {
      let report = try trace("handed_on")
      let site = try #require(report.sites(in: "resize").first)
      #expect(site.outstanding == Blocks(1000, 1))
      #expect(site.allocated == Blocks((1...20).reduce(0) { $0 + 50 * $1 }, 20))
      #expect(report.sites(in: "case_handed_on").filter { $0.functions.first == "case_handed_on" }.isEmpty)
    }

    @Test func mainThreadEndsFirst() throws {
      let report = try trace("main_exit")
      #expect(report.outstanding(in: "go_on") == Blocks(500, 1))
      let own = report.sites.filter { $0.functions.first == "case_main_exit" }
      #expect(own.map(\.outstanding) == [Blocks(501, 1)])
      #expect(report.target.exitStatus == 0)
      #expect(report.processes.map(\.state) == ["exited"])
    }

    private func trace(_ name: String) throws -> TraceReport {
      let report = try LeakTrace.report(of: [Programs.compile("threads.c", ["-fno-builtin"]), name])
      #expect(report.losses == [:])
      return report
    }
  }
}
