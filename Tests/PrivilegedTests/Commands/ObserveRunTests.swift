import FoundationEssentials
import Glibc
import TestTools
import Testing

extension Privileged {
  /// `leaktrace observe` beside programs that leak in a known way.
  @Suite struct ObserveRunTests {
    struct Observation: Decodable {
      struct Series: Decodable {
        struct Growth: Decodable { var kind: String }
        var kind: String
        var name: String
        var trend: String
        var reclaimable: Bool
        var bytesPerHour: Double
        var limit: String?
        var growsBy: [Growth]
        var nextCommand: String?
      }
      var series: [Series]
      func growing(_ kind: String) -> [Series] {
        series.filter { $0.trend == "growing" && $0.kind == kind && !$0.reclaimable }
      }
    }

    private func observe(_ arguments: [String], status: Int32 = 0) throws -> Observation {
      let running = try RunningProgram(
        [LeakTrace.program, "observe", "--format", "json"] + arguments, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      guard outcome.status == status else {
        throw ToolFailure(command: "observe", status: outcome.status, output: outcome.output + outcome.errors)
      }
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      return try decoder.decode(Observation.self, from: Data(outcome.output.utf8))
    }

    /// Leaks about 10 MB a second in a control group of its own, and a thousand eventfds a second.
    private static let leaking = """
      import os, resource, sys, time
      hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
      resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
      if sys.argv[1]: open(sys.argv[1], 'w').write(str(os.getpid()))
      print(flush=True)
      kept = []
      while True:
          kept.append(bytearray(1000000))
          for _ in range(min(500, hard // 180)): os.eventfd(0)
          time.sleep(0.1)
      """

    /// Grows and shrinks without a leak.
    private static let sawtooth = """
      import time
      print(flush=True)
      kept = []
      while True:
          kept.append(bytearray(2000000))
          if len(kept) == 12: kept = []
          time.sleep(0.1)
      """

    @Test func plantedGrowthIsRankedFirst() throws {
      let python = "/usr/bin/python3"
      guard access(python, X_OK) == 0 else {
        print("skipped: python3 is not installed")
        return
      }
      let group = "/sys/fs/cgroup/memory/leaktrace-observed-\(getpid())"
      let hasGroup = mkdir(group, 0o755) == 0
      if !hasGroup { print("no cgroup of version 1 can be made here: growth of one is not tested") }
      defer { rmdir(group) }
      if hasGroup { try write("220000000", to: group + "/memory.limit_in_bytes") }
      let leak = try RunningProgram([python, "-c", Self.leaking, hasGroup ? group + "/cgroup.procs" : ""])
      let level = try RunningProgram([python, "-c", Self.sawtooth])
      defer {
        kill(leak.processID, SIGKILL)
        kill(level.processID, SIGKILL)
        _ = leak.wait()
        _ = level.wait()
      }
      _ = leak.readLine(timeout: patience)
      _ = level.readLine(timeout: patience)
      // What grows is an exit code of its own, if that was asked for.
      let observation = try observe(["--for", "12s", "--fail-on-growth"], status: 1)

      let process = try #require(observation.growing("process").first)
      #expect(process.name == String(leak.processID))
      #expect(process.growsBy.first?.kind == "anonymous_mappings" || process.growsBy.first?.kind == "heap")
      #expect(process.nextCommand == "sudo leaktrace trace -p \(leak.processID) --leak-check --sort growth 10 6")
      // A megabyte, at most ten times a second.
      #expect(process.bytesPerHour > 0.3 * 1e7 * 3600 && process.bytesPerHour < 1.1 * 1e7 * 3600)
      #expect(!observation.growing("process").contains { $0.name == String(level.processID) })
      let cache = try #require(observation.growing("slab_cache").first)
      #expect(["filp", "kmalloc-64", "eventfd_ctx"].contains(cache.name))
      #expect(cache.nextCommand == "sudo leaktrace kernel --cache \(cache.name) --stacks all --duration 60s")
      if hasGroup {
        let name = "/" + group.split(separator: "/").last!
        #expect(observation.growing("cgroup").first?.name == name)
        #expect(process.limit == "memory limit of \(name)")
      }
    }

    @Test func observationsAreValid() throws {
      let python = "/usr/bin/python3"
      guard access(python, X_OK) == 0, (try? run([python, "-c", "import jsonschema"])) != nil else {
        print("skipped: python3-jsonschema is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let path = directory.file("observation.json")
      try run([LeakTrace.program, "observe", "--for", "5s", "--format", "json", "--output", path, "-T", "1000"])
      let schema = Programs.sources + "../../docs/schema/leaktrace.observation-1.schema.json"
      let script =
        "import json, sys, jsonschema; jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))"
      try run([python, "-c", script, schema, path])
    }

    private func write(_ text: String, to path: String) throws {
      let descriptor = open(path, O_WRONLY)
      defer { close(descriptor) }
      try #require(descriptor >= 0 && Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
    }
  }
}
