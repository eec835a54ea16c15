import Glibc
import TestTools
import Testing

extension Privileged {
  /// What `leaktrace kernel` cannot do: one line that says what, why and what to do, and exit code 2.
  @Suite struct KernelRefusalsTests {
    @Test(arguments: [
      (["soon"], "soon"),
      (["0"], "INTERVAL"),
      (["1", "0"], "COUNT"),
      (["1", "2", "3"], "3"),
      (["--duration", "1x"], "1x"),
      (["-p", "0"], "positive"),
      (["-p", "x"], "x"),
      (["-p", "4194303"], "no such process"),
      (["--comm", "a-name-too-long-for-it"], "15 characters"),
      (["--source", "heap"], "heap"),
      (["--source", ","], "--source"),
      (["--cache", "no_such_cache"], "no_such_cache"),
      (["--call-site", "no_such_function"], "no_such_function"),
      (["--cgroup", "no/such/group"], "no/such/group"),
      (["--cgroup", "../.."], "../.."),
      (["--stacks", "some"], "some"),
      (["--pages", "--stacks", "none"], "--pages"),
      (["--combined-only", "-o", "5"], "--combined-only"),
      (["--combined-only", "-a"], "--combined-only"),
      (["-z", "9", "-Z", "3"], "-z 9"),
      (["-z", "1T"], "1T"),
      (["-o", "old"], "old"),
      (["-s", "0"], "-s 0"),
      (["-T", "0"], "-T 0"),
      (["--sort", "name"], "name"),
      (["--max-allocations", "0"], "--max-allocations"),
      (["--max-sites", "0"], "--max-sites"), (["--max-stacks", "0"], "--max-sites"),
      (["--format", "xml"], "xml"),
      (["--output", "/no/such/directory/r.json"], "/no/such/directory/r.json"),
      (["--no-such-option"], "no-such-option"),
      (["--methods", "magic"], "magic"),
      (["--where", "--format", "xml"], "xml"),
    ])
    func usage(arguments: [String], expected: String) throws {
      let running = try RunningProgram([LeakTrace.program, "kernel"] + arguments, capturesErrors: true)
      check(LeakTrace.finish(running), expected)
    }

    @Test func nineCallSites() throws {
      let names = (1...9).flatMap { ["--call-site", "f\($0)"] }
      check(try LeakTrace.kernel(names), "at most 8")
    }

    @Test func fullDisk() throws {
      let outcome = try LeakTrace.kernel([
        "--format", "text", "--output", "/dev/full", "-p", "1", "--duration", "100ms",
      ])
      check(outcome, "/dev/full")
    }

    @Test func withoutPrivileges() throws {
      let directory = try TemporaryDirectory()
      // The build directory may be closed to others.
      let copy = directory.file("leaktrace")
      try run(["cp", LeakTrace.program, copy])
      chmod(directory.path, 0o755)
      let running = try RunningProgram(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "kernel"], capturesErrors: true)
      check(LeakTrace.finish(running), "root")
      // What needs no rights is told all the same.
      let other = try RunningProgram(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "kernel", "--where"], capturesErrors: true
      )
      let outcome = LeakTrace.finish(other)
      #expect(outcome.status == 0)
      #expect(outcome.output.contains("slabinfo needs root"))
    }

    /// A kernel without type information, which is one where the file is missing.
    @Test func withoutTypeInformation() throws {
      let running = try RunningProgram(
        [
          "unshare", "--mount", "--propagation", "private", "sh", "-c",
          "mount -t tmpfs none /sys/kernel/btf && exec \(LeakTrace.program) kernel",
        ], capturesErrors: true)
      check(LeakTrace.finish(running), "CONFIG_DEBUG_INFO_BTF")
    }

    private func check(
      _ outcome: LeakTrace.Outcome, _ expected: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      #expect(outcome.status == 2, sourceLocation: sourceLocation)
      #expect(outcome.output == "", sourceLocation: sourceLocation)
      let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines.count == 2 && lines.last == "", "\(outcome.errors)", sourceLocation: sourceLocation)
      #expect(outcome.errors.hasPrefix("leaktrace: "), sourceLocation: sourceLocation)
      #expect(outcome.errors.contains(expected), "\(outcome.errors)", sourceLocation: sourceLocation)
    }
  }
}
