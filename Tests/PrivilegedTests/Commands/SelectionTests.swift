import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// Processes that are traced because of what they belong to.
  @Suite struct SelectionTests {
    private func program(_ name: String = "before") throws -> TracedProgram {
      try TracedProgram([Programs.compile("processes.c", ["-fno-builtin"]), name])
    }

    @Test func controlGroup() throws {
      let group = try TestControlGroup()
      let members = [try program(), try program()]
      for member in members { try group.add(member.processID) }
      let outsider = try program()
      let attachment = try Attachment(to: [], ["--cgroup", group.path])
      for member in members + [outsider] { try member.step() }
      // Whoever comes into the group later is traced from then on.
      let late = try program()
      try group.add(late.processID)
      _ = try attachment.report { report in report.processes.contains { $0.pid == late.processID } }
      try late.step()
      let report = try attachment.interrupt()
      #expect(report.target.kind == "system")
      #expect(report.target.command == "control group \(group.path)")
      #expect(Set(report.processes.map(\.pid)) == Set((members + [late]).map(\.processID)))
      for process in report.processes { #expect(process.outstanding == Blocks(3000, 3)) }
      #expect(report.totals.outstanding == Blocks(9000, 9))
      #expect(report.losses == [:])
    }

    /// The last member ends, and with it the trace.
    @Test func controlGroupEmpties() throws {
      let group = try TestControlGroup()
      let member = try program("exit")
      try group.add(member.processID)
      let attachment = try Attachment(to: [], ["--cgroup", group.directory])
      member.letGo()
      let report = try attachment.end()
      #expect(report.totals.outstanding == Blocks(91, 1))
    }

    /// A process that cannot be traced is named; the others are.
    @Test func memberWithoutAllocator() throws {
      let group = try TestControlGroup()
      let member = try program()
      let source = try TemporaryDirectory()
      let path = source.file("bare")
      try run(
        ["gcc", "-static", "-nostdlib", "-o", path, "-x", "c", source.write("bare.c", Array(Self.bare.utf8))])
      let bare = try RunningProgram([path])
      defer { kill(bare.processID, SIGKILL) }
      for processID in [member.processID, bare.processID] { try group.add(processID) }
      let attachment = try Attachment(to: [], ["--cgroup", group.path])
      try member.step()
      let report = try attachment.interrupt()
      #expect(report.processes.map(\.pid) == [member.processID])
      #expect(report.totals.outstanding == Blocks(3000, 3))
      let told = report.notes.filter { $0.hasPrefix("not traced: ") }
      #expect(told.count == 1 && told[0].contains("process \(bare.processID)"))
    }

    private static let bare = """
      void _start(void) { for (;;) __asm__ volatile("syscall" : : "a"(34) : "rcx", "r11", "memory"); }
      """

    @Test func commandNameOfLaterProcesses() throws {
      let first = try program()
      let name = String(decoding: contents(of: "/proc/\(first.processID)/comm").dropLast(), as: UTF8.self)
      let attachment = try Attachment(to: [], ["--comm", name])
      let second = try program()
      _ = try attachment.report { report in report.processes.contains { $0.pid == second.processID } }
      for member in [first, second] { try member.step() }
      let report = try attachment.interrupt()
      #expect(
        report.processes.filter { $0.outstandingCount > 0 }.map(\.outstanding) == [Blocks(3000, 3), Blocks(3000, 3)])
    }

    @Test(arguments: [
      (["--cgroup", "/no/such/group"], "/no/such/group"),
      (["--cgroup", "/"], "--all"),
      (["--all", "-p", "1"], "--all"),
      (["--all", "--", "true"], "not both"),
    ]) func refused(options: [String], expected: String) throws {
      let outcome = try LeakTrace.trace(options)
      #expect(outcome.status == 2)
      #expect(outcome.errors.contains(expected))
      #expect(outcome.output == "")
    }
  }
}

/// A control group of the test's own; processes in it go back to where they were when it is released.
final class TestControlGroup {
  let directory: String
  /// Below the root of its hierarchy.
  let path: String
  private let parent: String
  nonisolated(unsafe) private static var count = 0

  init() throws {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"]
    Self.count += 1
    path = "/leaktrace-test-\(getpid())-\(Self.count)"
    for root in roots where access(root + "/cgroup.procs", W_OK) == 0 {
      guard mkdir(root + path, 0o755) == 0 else { continue }
      directory = root + path
      parent = root
      return
    }
    throw ToolFailure(command: "mkdir", status: errno, output: "no control group can be made")
  }

  func add(_ processID: Int32) throws {
    try write(processID, to: directory)
  }

  private func write(_ processID: Int32, to directory: String) throws {
    try Data("\(processID)\n".utf8).write(to: URL(filePath: directory + "/cgroup.procs"))
  }

  deinit {
    let members = String(decoding: contents(of: directory + "/cgroup.procs"), as: UTF8.self)
    for member in members.split(separator: "\n") { try? write(Int32(member) ?? 0, to: parent) }
    rmdir(directory)
  }
}
