import Glibc
import TestTools
import Testing

extension Privileged {
  /// Children, other programs, and ends: everyone's own totals.
  @Suite struct ProcessesTests {
    @Test func childHasItsOwnTotals() throws {
      let report = try trace("fork")
      let parent = try #require(report.processes.first { $0.parentPid == nil })
      #expect(parent.outstanding == Blocks(300, 3))
      #expect(parent.allocated == Blocks(300, 3))
      let child = try #require(report.processes.first { $0.parentPid == parent.pid })
      #expect(child.outstanding == Blocks(800, 4))
      #expect(child.allocated == Blocks(1000, 5))
      #expect(child.freed == Blocks(200, 1))
      #expect(child.state == "exited")
      #expect(report.totals.outstanding == Blocks(1100, 7))
      #expect(report.losses == [:])
    }

    /// The child has copies of the parent's blocks: what it frees is its own affair.
    @Test func childFreesInheritedBlocks() throws {
      let report = try trace("inherited")
      let parent = try #require(report.processes.first { $0.parentPid == nil })
      #expect(parent.outstanding == Blocks(512, 8))
      #expect(parent.freed == Blocks(128, 2))
      #expect(parent.unmatchedFrees == 0)
      let child = try #require(report.processes.first { $0.parentPid == parent.pid })
      #expect(child.outstanding == Blocks(32, 1))
      #expect(child.freed == Blocks(0, 0))
      #expect(child.unmatchedFrees == 4)
      #expect(report.losses == [:])
    }

    @Test func grandchildren() throws {
      let report = try trace("grandchild")
      let parent = try #require(report.processes.first { $0.parentPid == nil })
      #expect(parent.outstanding == Blocks(11, 1))
      let child = try #require(report.processes.first { $0.parentPid == parent.pid })
      #expect(child.outstanding == Blocks(44, 2))
      let grandchild = try #require(report.processes.first { $0.parentPid == child.pid })
      #expect(grandchild.outstanding == Blocks(99, 3))
      #expect(report.losses == [:])
    }

    @Test func manyChildrenInTurn() throws {
      let report = try trace("storm")
      let children = report.processes.filter { $0.parentPid != nil }
      expectExactOrTold(report, children.map(\.outstanding), (1...8).map { Blocks(3 * $0, 3) })
    }

    @Test func manyChildrenAtOnce() throws {
      let report = try trace("crowd")
      let children = report.processes.filter { $0.parentPid != nil }
      let found = children.map(\.outstanding).sorted { $0.bytes < $1.bytes }
      expectExactOrTold(report, found, (0..<6).map { Blocks(200 + 2 * $0, 2) })
    }

    /// Children are held for 20 ms each at most, and for a tenth of the time together: on a busy host one may run before its
    /// probes are on. Every such child is counted, none counts for more than it did, and nothing else is lost.
    private func expectExactOrTold(_ report: TraceReport, _ found: [Blocks], _ expected: [Blocks]) {
      let late = report.losses["late_forks", default: 0]
      #expect(report.losses.filter { $0.key != "late_forks" } == [:])
      #expect(found.count <= expected.count && UInt64(expected.count - found.count) <= late)
      let exact = found.count { expected.contains($0) }
      #expect(UInt64(expected.count - exact) <= late, "\(found)")
      #expect(late > 0 || found == expected)
    }

    /// A child that is missed must be told of.
    @Test func missedChildrenAreCounted() throws {
      let report = try trace("crowd")
      let children = report.processes.count { $0.parentPid != nil }
      #expect(UInt64(children) + report.losses["late_forks", default: 0] >= 6)
    }

    @Test func childRunsAnotherProgram() throws {
      let report = try trace("exec_in_child")
      let parent = try #require(
        report.processes.first { $0.parentPid == nil && $0.state == "exited" })
      #expect(parent.outstanding == Blocks(50, 1))
      let images = report.processes.filter { $0.parentPid == parent.pid }
      let before = try #require(images.first { $0.state == "replaced" })
      #expect(before.outstanding == Blocks(70, 1))
      let after = try #require(images.first { $0.state == "exited" })
      #expect(after.outstanding == Blocks(150, 1))
      #expect(after.allocated == Blocks(300, 2))
      #expect(after.command.hasPrefix("leaf"))
      #expect(report.totals.outstanding == Blocks(200, 2))
      #expect(report.losses == [:])
    }

    @Test(arguments: [("vfork", UInt64(51)), ("spawn", UInt64(52))])
    func childThatSharesMemoryRunsAnotherProgram(name: String, size: UInt64) throws {
      let report = try trace(name)
      let parent = try #require(report.processes.first { $0.parentPid == nil })
      #expect(report.sites.filter { $0.pid == parent.pid }.map(\.outstanding) == [Blocks(size, 1)])
      let child = try #require(report.processes.first { $0.parentPid == parent.pid })
      #expect(child.outstanding == Blocks(150, 1))
      #expect(child.allocated == Blocks(300, 2))
      #expect(report.losses == [:])
    }

    /// What the replaced program held is gone, and counted apart.
    @Test func programReplacesItself() throws {
      let report = try trace("exec")
      let before = try #require(report.processes.first { $0.state == "replaced" })
      #expect(before.outstanding == Blocks(162, 2))
      let after = try #require(report.processes.first { $0.state == "exited" })
      #expect(after.pid == before.pid)
      #expect(after.outstanding == Blocks(150, 1))
      #expect(report.totals.outstanding == Blocks(150, 1))
      #expect(report.sites.map(\.outstanding) == [Blocks(150, 1)])
      #expect(report.losses == [:])
    }

    @Test func programReplacesItselfWhileAttached() throws {
      let program = try TracedProgram([processes(), "exec"])
      let attachment = try Attachment(to: program)
      program.letGo()
      let report = try attachment.end()
      #expect(report.processes.first { $0.state == "replaced" }?.outstanding == Blocks(162, 2))
      #expect(report.totals.outstanding == Blocks(150, 1))
      #expect(report.losses == [:])
    }

    /// Children have a budget of their own for waiting: what a script executes at its end is not missed because of them.
    @Test func programBehindManyChildren() throws {
      let program = try Programs.compile("throwing.cpp", ["-fno-builtin", "-O1"])
      let report = try LeakTrace.report(of: [
        "sh", "-c", "for i in $(seq 120); do /bin/true; done; exec \"$0\"", program,
      ])
      #expect(report.outstanding(in: "keep_small()") == Blocks(4800, 100))
      #expect(report.outstanding(in: "keep_large()") == Blocks(15_000_000, 3))
    }

    /// The same process id twice: two processes, two totals.
    @Test func reusedProcessID() throws {
      let report = try trace("same_id")
      // Others with another id hold nothing: the program tries until it is given the same one again.
      let children = report.processes.filter { $0.parentPid != nil && $0.outstandingCount > 0 }
      #expect(children.map(\.outstanding) == [Blocks(2000, 2), Blocks(4000, 2)])
      #expect(Set(children.map(\.pid)).count == 1)
      #expect(report.losses == [:])
    }

    @Test func childrenCanBeLeftOut() throws {
      let report = try trace("fork", ["--no-follow"])
      #expect(report.processes.count == 1)
      #expect(report.totals.outstanding == Blocks(300, 3))
      #expect(report.totals.allocated == Blocks(300, 3))
      #expect(report.losses == [:])
    }

    /// Blocks at the same addresses in two processes are different blocks.
    @Test func sameAddressesInTwoProcesses() throws {
      let program = try TracedProgram([processes(), "twins"])
      let children = contents(of: "/proc/\(program.processID)/task/\(program.processID)/children")
      let childID = try #require(Int32(String(decoding: children, as: UTF8.self).filter(\.isNumber)))
      let attachment = try Attachment(to: [program.processID, childID], ["-a", "--no-follow"])
      try program.step()
      let report = try attachment.interrupt()
      let parent = try #require(report.sites.first { $0.pid == program.processID })
      let child = try #require(report.sites.first { $0.pid == childID })
      #expect(parent.outstanding == Blocks(4000, 10))
      #expect(child.outstanding == Blocks(1200, 3))
      #expect(child.freed == Blocks(2800, 7))
      let addresses = Set(parent.allocations.map(\.address))
      #expect(addresses.count == 10)
      #expect(addresses.isSuperset(of: child.allocations.map(\.address)))
      #expect(report.losses == [:])
    }

    /// Frees and resizes of blocks from before the attach.
    @Test func blocksFromBeforeTheAttach() throws {
      let program = try TracedProgram([processes(), "before"])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      #expect(report.totals.unmatchedFrees == 5)
      #expect(report.totals.outstanding == Blocks(3000, 3))
      #expect(report.totals.allocated == Blocks(3000, 3))
      #expect(report.totals.freed == Blocks(0, 0))
      #expect(report.outstanding(in: "in_parent") == Blocks(0, 0))
      #expect(report.losses == [:])
    }

    static let ends: [(name: String, status: Int32, size: UInt64)] = [
      ("exit", 3, 91), ("killed", 128 + 15, 92), ("aborted", 128 + 6, 93),
    ]

    @Test(arguments: ends) func exitStatusIsShown(name: String, status: Int32, size: UInt64) throws {
      let report = try trace(name)
      #expect(report.target.exitStatus == status)
      #expect(report.totals.outstanding == Blocks(size, 1))
      #expect(report.losses == [:])
    }

    /// As under a shell, the status of the command is that of leaktrace.
    @Test(arguments: [("exit", 3, "exited with status 3"), ("killed", 128 + 15, "ended by signal 15")])
    func exitStatusIsShownInText(name: String, status: Int32, expected: String) throws {
      let outcome = try LeakTrace.trace(["--", processes(), name])
      #expect(outcome.status == status)
      #expect(outcome.output.contains(expected))
      #expect(outcome.output.contains("in_parent"))
    }

    /// The process ends while it is traced: leaktrace reports what it had and ends, too.
    @Test func exitWhileAttached() throws {
      let program = try TracedProgram([processes(), "exit"])
      let attachment = try Attachment(to: program)
      program.letGo()
      let report = try attachment.end()
      #expect(program.end() == 3)
      #expect(report.totals.outstanding == Blocks(91, 1))
      #expect(report.processes.map(\.state) == ["exited"])
      #expect(report.sites.map(\.outstanding) == [Blocks(91, 1)])
      #expect(report.losses == [:])
    }

    private func processes() throws -> String {
      try Programs.compile("processes.c", ["-fno-builtin"])
    }

    private func trace(_ name: String, _ options: [String] = []) throws -> TraceReport {
      try LeakTrace.report(of: [processes(), name], options)
    }
  }
}
