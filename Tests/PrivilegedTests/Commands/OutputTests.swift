import Glibc
import TestTools
import Testing

extension Privileged {
  /// Where reports go, and in which format.
  @Suite struct OutputTests {
    /// A recording of several reports is one document with the course of the run in it.
    @Test func aFileHoldsOneDocument() throws {
      let directory = try TemporaryDirectory()
      let files = ["r.pb.gz", "r.json", "r.html", "r.massif"].map(directory.file)
      let outcome = try LeakTrace.trace(files.flatMap { ["--output", $0] } + ["0.2", "--", "sleep", "0.7"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      let json = String(decoding: contents(of: files[1]), as: UTF8.self)
      #expect(json.split(separator: "\n").count == 1)
      #expect(try TraceReport(json: json).target.exitStatus == 0, "the last report")
      let html = String(decoding: contents(of: files[2]), as: UTF8.self)
      #expect(html.split(separator: "<!DOCTYPE html>").count == 1)
      let massif = String(decoding: contents(of: files[3]), as: UTF8.self)
      #expect(massif.split(separator: "\n").filter { $0.hasPrefix("desc:") }.count == 1)
      // gzip reads all members.
      try run(["sh", "-c", "test \"$(zcat '\(files[0])' | wc -c)\" -gt 0"])
      for file in [files[0], files[1]] {
        let shown = LeakTrace.finish(try RunningProgram([LeakTrace.program, "report", file], capturesErrors: true))
        #expect(shown.status == 0 && shown.output.contains("exited with status 0"), "\(shown.errors)")
      }
      let beside = try run(["ls", "-A", directory.path]).split(separator: "\n")
      #expect(beside.count == 4, "nothing else is left: \(beside)")
    }

    @Test func formatsBelongToTheirOutputs() throws {
      let directory = try TemporaryDirectory()
      let (pprof, html, json) = (directory.file("a.pb.gz"), directory.file("a.html"), directory.file("a.json"))
      let outcome = try LeakTrace.trace([
        "--output", pprof, "--output", html, "--format", "json", "--output", json, "--", "true",
      ])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(contents(of: pprof).starts(with: [0x1f, 0x8b]))
      #expect(String(decoding: contents(of: html), as: UTF8.self).hasPrefix("<!DOCTYPE html>"))
      #expect(String(decoding: contents(of: json), as: UTF8.self).hasPrefix("{\"schema\""))
      let plain = directory.file("plain")
      #expect(try LeakTrace.trace(["--output", plain, "--format", "csv", "--", "true"]).status == 0)
      #expect(String(decoding: contents(of: plain), as: UTF8.self).hasPrefix("pid,command"))
    }

    @Test(arguments: [
      ["trace", "--format", "csv", "--output", "a.json", "--", "true"],
      ["trace", "--output", "a.json", "--format", "text", "--", "true"],
      ["kernel", "--format", "csv", "--output", "a.json"],
      ["report", "--format", "csv", "--output", "a.json", "x.pb.gz"],
      ["verify", "--format", "junit", "--output", "a.json", "x", "y"],
      ["observe", "--format", "text", "--output", "a.json"],
    ]) func contradictions(arguments: [String]) throws {
      let outcome = LeakTrace.finish(try RunningProgram([LeakTrace.program] + arguments, capturesErrors: true))
      #expect(outcome.status == 2)
      #expect(
        outcome.errors.split(separator: "\n").count == 1 && outcome.errors.contains("contradict"), "\(outcome.errors)")
    }

    /// A full disk leaves what was there before.
    @Test func fullDisk() throws {
      let directory = try TemporaryDirectory()
      let mount = directory.file("small")
      mkdir(mount, 0o755)
      try run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", mount])
      defer { _ = try? run(["umount", mount]) }
      try run(["sh", "-c", "echo old > '\(mount)/r.html'"])
      let outcome = try LeakTrace.trace(["--output", mount + "/r.html", "--", "true"])
      #expect(outcome.status == 2 && outcome.errors.contains("r.html"), "\(outcome.errors)")
      #expect(String(decoding: contents(of: mount + "/r.html"), as: UTF8.self) == "old\n")
      #expect(try run(["ls", "-A", mount]) == "r.html\n")
    }

    @Test(arguments: [
      ["doctor"], ["--help"], ["trace", "--help"], ["watch", "--check-config"], ["report", "RECORDING"],
    ])
    func fullStandardOutput(arguments: [String]) throws {
      let directory = try TemporaryDirectory()
      let recording = directory.file("r.pb.gz")
      if arguments.last == "RECORDING" { _ = try LeakTrace.trace(["--output", recording, "--", "true"]) }
      let words = arguments.map { $0 == "RECORDING" ? recording : $0 }
      let outcome = LeakTrace.finish(
        try RunningProgram(
          ["sh", "-c", "exec \"$@\" > /dev/full", "sh", LeakTrace.program] + words, capturesErrors: true))
      #expect(outcome.status == 2)
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    }

    @Test func namesThatAreMistyped() throws {
      let command = LeakTrace.finish(try RunningProgram([LeakTrace.program, "trce"], capturesErrors: true))
      #expect(command.status == 2 && command.errors.contains("do you mean trace?"), "\(command.errors)")
      let sleeper = try RunningProgram(["sleep", "60"])
      defer { kill(sleeper.processID, SIGKILL) }
      let comm = try LeakTrace.trace(["--comm", "slee", "--duration", "1"])
      #expect(comm.status == 2 && comm.errors.contains("these run: sleep"), "\(comm.errors)")
      let program = try TracedProgram([Programs.compile("pools.c", ["-fno-builtin"])])
      let alloc = try LeakTrace.trace([
        "-p", String(program.processID), "--alloc", "pool_gett:size=1", "--duration", "60",
      ])
      #expect(alloc.status == 2 && alloc.errors.contains("pool_get"), "\(alloc.errors)")
    }

    @Test func processesWithCommas() throws {
      let sleepers = try [RunningProgram(["sleep", "60"]), RunningProgram(["sleep", "60"])]
      defer { for sleeper in sleepers { kill(sleeper.processID, SIGKILL) } }
      for sleeper in sleepers { #expect(eventually { processState(sleeper.processID) == "S" }) }
      let list = sleepers.map { String($0.processID) }.joined(separator: ",")
      let outcome = try LeakTrace.trace(["-p", list, "--format", "json", "--duration", "200ms"])
      #expect(try outcome.report().processes.map(\.pid) == sleepers.map(\.processID), "\(outcome.errors)")
    }
  }
}
