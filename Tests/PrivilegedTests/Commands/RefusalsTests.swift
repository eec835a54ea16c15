import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// What cannot be traced: one line that says what, why and what to do, exit code 2, and nothing left attached.
  @Suite struct RefusalsTests {
    @Test(arguments: [
      ([], "nothing to trace"),
      (["-p", "abc"], "abc"),
      (["-p", "0"], "positive"),
      (["-p", "-5"], "-p"),
      (["-p", "1", "soon"], "soon"),
      (["-p", "1", "0"], "INTERVAL"),
      (["-p", "1", "1", "0"], "COUNT"),
      (["-p", "1", "--duration", "1x"], "1x"),
      (["-p", "1", "--", "true"], "not both"),
      (["-c", "true", "--", "true"], "not both"),
      (["-p", "1", "--format", "xml"], "xml"),
      (["-p", "1", "--output", "report.unknown"], "report.unknown"),
      (["-p", "1", "--sort", "name"], "name"),
      (["-p", "1", "-T", "0"], "-T 0"),
      (["-p", "1", "-s", "0"], "-s 0"),
      (["-p", "1", "-s", "x"], "x"),
      (["-p", "1", "--sample-bytes", "0"], "--sample-bytes"),
      (["-p", "1", "-s", "2", "--sample-bytes", "4096"], "not both"),
      (["-p", "1", "-z", "9", "-Z", "3"], "-z 9"),
      (["-p", "1", "-z", "1T"], "1T"),
      (["-p", "1", "-o", "old"], "old"),
      (["-p", "1", "--max-allocations", "0"], "--max-allocations"),
      (["-p", "1", "--max-stacks", "0"], "--max-stacks"), (["-p", "1", "--max-sites", "0"], "--max-stacks"),
      (["-p", "1", "--alloc", "pool_get"], "pool_get"),
      (["-p", "1", "--alloc", "pool_get:size=7"], "size"),
      (["-p", "1", "--free", "pool_put:block=1"], "block"),
      (["-p", "1", "--no-such-option"], "no-such-option"),
      (["-c", "echo 'open"], "quotation"),
      (["-c", ""], "no command"),
      (["--", "no-such-command-anywhere"], "no such command"),
      (["--", "/no/such/file"], "/no/such/file"),
      (["--", "/etc/passwd"], "/etc/passwd"),
      (["--", "/tmp"], "/tmp"),
      (["--comm", "no-such-command-anywhere"], "no-such-command"),
      (["--output", "/no/such/directory/report.json", "--", "true"], "/no/such/directory/report.json"),
      (["--output", "/proc/version.json", "--", "true"], "/proc/version.json"),
    ])
    func usage(arguments: [String], expected: String) throws {
      try expectRefusal(arguments, expected)
    }

    @Test func fullDisk() throws {
      let outcome = try LeakTrace.trace(["--format", "text", "--output", "/dev/full", "--", "true"])
      #expect(outcome.status == 2)
      #expect(outcome.errors.split(separator: "\n").count == 1)
      #expect(outcome.errors.contains("/dev/full"))
    }

    @Test func withoutPrivileges() throws {
      let directory = try TemporaryDirectory()
      // The build directory may be closed to others.
      let copy = directory.file("leaktrace")
      try run(["cp", LeakTrace.program, copy])
      chmod(directory.path, 0o755)
      let target = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      for arguments in [["-p", String(target.processID)], ["--", "/bin/true"]] {
        let running = try RunningProgram(
          ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "trace"] + arguments,
          capturesErrors: true)
        let outcome = LeakTrace.finish(running)
        try check(outcome, "root")
      }
      #expect(target.isRunning)
    }

    @Test func noSuchProcess() throws {
      let ended = try RunningProgram(["true"])
      ended.wait()
      try expectRefusal(["-p", String(ended.processID)], "no process has the id \(ended.processID)")
    }

    @Test func kernelThread() throws { try expectRefusal(["-p", "2"], "kernel thread") }

    @Test func zombie() throws {
      let ended = try RunningProgram(["true"])
      #expect(eventually { processState(ended.processID) == "Z" })
      try expectRefusal(["-p", String(ended.processID)], "zombie")
      ended.wait()
    }

    @Test func threadInsteadOfProcess() throws {
      let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
      let thread = try #require(threads.compactMap { Int32($0) }.first { $0 != getpid() })
      try expectRefusal(["-p", String(thread)], "thread of process \(getpid())")
    }

    @Test func itself() throws {
      // `exec` keeps the process id, which the shell knows.
      let running = try RunningProgram(
        ["sh", "-c", "exec \(LeakTrace.program) trace -p $$"], capturesErrors: true)
      try check(LeakTrace.finish(running), "itself")
    }

    /// The smallest 32-bit program there is: it waits for a signal.
    @Test func program32Bit() throws {
      let directory = try TemporaryDirectory()
      let path = try directory.write("program32", Self.pausing32)
      chmod(path, 0o755)
      let program = try RunningProgram([path])
      try #require(processState(program.processID) != nil, "this kernel runs no 32-bit programs")
      #expect(eventually { processState(program.processID) == "S" })
      try expectRefusal(["-p", String(program.processID)], "32-bit")
      #expect(processState(program.processID) == "S")
    }

    /// ELF header, one segment, and `mov eax, 29; int 0x80; jmp $-7` (pause).
    private static let pausing32: [UInt8] = {
      func half(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xff), UInt8(value >> 8)] }
      func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
      let code: [UInt8] = [0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7]
      let base: UInt32 = 0x0804_8000
      let size = UInt32(52 + 32 + code.count)
      var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
      bytes += half(2) + half(3) + word(1) + word(base + 84) + word(52) + word(0) + word(0)
      bytes += half(52) + half(32) + half(1) + half(0) + half(0) + half(0)
      bytes += word(1) + word(0) + word(base) + word(base) + word(size) + word(size) + word(5) + word(0x1000)
      return bytes + code
    }()

    @Test(arguments: [true, false]) func strippedStaticProgram(isAttached: Bool) throws {
      let path = try Programs.compile("own_allocator.c", ["-fno-builtin", "-static", "-nostdlib", "-s"])
      if isAttached {
        let program = try RunningProgram([path])
        defer { kill(program.processID, SIGKILL) }
        try expectRefusal(["-p", String(program.processID)], "statically linked and stripped")
        #expect(kill(program.processID, 0) == 0)
      } else {
        try expectRefusal(["--", path], "statically linked and stripped")
      }
    }

    @Test func objectThatIsNotMapped() throws {
      let program = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      try expectRefusal(["-p", String(program.processID), "-O", "libnothing.so"], "libnothing.so")
      try expectRefusal(["-p", String(program.processID), "-S", "nothing_"], "nothing_")
      try program.step()
    }

    /// One of several processes that cannot be traced: none is.
    @Test func oneOfSeveral() throws {
      let program = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      try expectRefusal(["-p", String(program.processID), "-p", "2"], "kernel thread")
      try program.step()
    }

    /// The process ends at some moment of the attach: an ordinary report, or one line.
    @Test(arguments: [0, 60, 120, 180, 240, 300, 360, 420]) func endsDuringTheAttach(milliseconds: Int) throws {
      let target = try RunningProgram(["sleep", String(Double(milliseconds) / 1000)])
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "--format", "json", "-p", String(target.processID)], capturesErrors: true)
      // It is a zombie until it is waited for, so at the same time it is.
      target.wait()
      let outcome = LeakTrace.finish(running)
      if outcome.status == 0 {
        #expect(try outcome.reports().count == 1)
        #expect(outcome.errors == "")
      } else {
        try check(outcome, String(target.processID))
      }
    }

    /// An executable that was deleted is traced all the same.
    @Test func deletedExecutable() throws {
      let directory = try TemporaryDirectory()
      let copy = directory.file("options")
      try run(["cp", Programs.compile("options.c", ["-fno-builtin"]), copy])
      let program = try TracedProgram([copy, "deep"])
      unlink(copy)
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      #expect(report.totals.outstanding == Blocks(1234, 1))
      let site = try #require(report.sites.first)
      #expect(site.stackComplete)
      #expect(site.functions.prefix(2) == ["level_1", "level_2"])
      #expect(report.losses == [:])
    }

    private func expectRefusal(
      _ arguments: [String], _ expected: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let running = try RunningProgram(
        [LeakTrace.program, "trace"] + arguments, capturesErrors: true)
      try check(
        LeakTrace.finish(running), expected, sourceLocation: sourceLocation)
    }

    private func check(
      _ outcome: LeakTrace.Outcome, _ expected: String,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      #expect(outcome.status == 2, sourceLocation: sourceLocation)
      #expect(outcome.output == "", sourceLocation: sourceLocation)
      let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines.count == 2 && lines.last == "", "\(outcome.errors)", sourceLocation: sourceLocation)
      #expect(outcome.errors.hasPrefix("leaktrace: "), sourceLocation: sourceLocation)
      #expect(outcome.errors.contains(expected), "\(outcome.errors)", sourceLocation: sourceLocation)
      #expect(try KernelPrograms.orphans() == [], sourceLocation: sourceLocation)
    }
  }
}
