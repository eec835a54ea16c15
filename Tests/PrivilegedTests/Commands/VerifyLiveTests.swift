import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// `verify --live`: rounds of load on a process that runs.
  @Suite struct VerifyLiveTests {
    /// A service and the command that sends it requests and waits until they are served.
    private final class Service {
      let directory: TemporaryDirectory
      let process: RunningProgram

      init() throws {
        directory = try TemporaryDirectory()
        let fifo = directory.file("requests")
        mkfifo(fifo, 0o600)
        process = try RunningProgram([Programs.compile("loads/served.c"), fifo])
        #expect(eventually { access(fifo + ".answers", F_OK) == 0 })
      }

      func load(_ requests: [String]) -> String {
        let fifo = directory.file("requests")
        return "before=$(wc -l <\(fifo).answers); printf '\(requests.joined(separator: "\\n"))\\n' >\(fifo); "
          + "while [ $(wc -l <\(fifo).answers) -lt $((before + \(requests.count))) ]; do sleep 0.01; done"
      }
    }

    private struct Comparison: Decodable {
      struct Rate: Decodable { var value, low, high: Double }
      struct Site: Decodable {
        struct Frame: Decodable { var function: String? }
        var verdict: String
        var leaking: Bool
        var after: Rate
        var beforeBytes, beforeCount, afterBytes, afterCount: Int
        var frames: [Frame]
      }
      struct Normalization: Decodable {
        var kind: String
        var count: Int
        var work: Double?
      }
      var schema: String
      var passed: Bool
      var normalization: Normalization
      var sites: [Site]
      var notes: [String]
    }

    private func verify(_ service: Service, _ requests: [String], _ options: [String] = []) throws
      -> (status: Int32, result: Comparison)
    {
      let running = try RunningProgram(
        [
          LeakTrace.program, "verify", "--live", "-p", String(service.process.processID), "--load",
          service.load(requests), "--format", "json",
        ] + options, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let result = try decoder.decode(Comparison.self, from: Data(outcome.output.utf8))
      #expect(try KernelPrograms.orphans() == [])
      return (outcome.status, result)
    }

    @Test func leakPerRequest() throws {
      let (status, result) = try verify(
        Service(), ["leak 300", "work", "cache", "leak 300"], ["--rounds", "5", "--work-per-round", "4"])
      #expect(status == 1)
      #expect(!result.passed)
      #expect(result.schema == "leaktrace.comparison/1")
      #expect(result.normalization.kind == "rounds")
      #expect(result.normalization.count == 5)
      #expect(result.normalization.work == 4)
      let site = try #require(result.sites.first)
      #expect(result.sites.count == 1)
      #expect(site.verdict == "growing")
      #expect(site.leaking)
      #expect(site.after.value == 150)
      #expect(site.after.low == 150)
      #expect(site.after.high == 150)
      #expect(site.beforeBytes == 600)
      #expect(site.afterBytes == 3600)
      #expect(site.afterCount == 12)
      #expect(site.frames.prefix(2).map(\.function) == ["leak", "main"])
      #expect(
        result.notes.contains(
          "outstanding after the warm-up and each round: 70,600, 71,200, 71,800, 72,400, 73,000, 73,600"))
    }

    @Test func memoryReturns() throws {
      let (status, result) = try verify(Service(), ["work", "cache", "work"], ["--rounds", "3", "--warm-up", "0"])
      #expect(status == 0)
      #expect(result.passed)
      #expect(result.sites.map(\.verdict) == ["returns"])
      #expect(result.sites.map(\.afterBytes) == [70000])
    }

    /// Comparisons of both kinds against the schema that is shipped.
    @Test(.enabled(if: JSONSchema.isAvailable, "needs python3-jsonschema"))
    func comparisonsAreValid() throws {
      let directory = try TemporaryDirectory()
      let program = try Programs.compile("named_threads.c")
      for name in ["before.pb.gz", "after.pb.gz"] {
        _ = try LeakTrace.trace(["--no-mappings", "--output", directory.file(name), "--", program])
      }
      let files = [directory.file("before.pb.gz"), directory.file("after.pb.gz")]
      let verify = [LeakTrace.program, "verify", "--format", "json"] + files
      var documents: [String] = []
      // Without leak checks, and in so short a time, it cannot be told: the document says so.
      for options in [[], ["--work-before", "10", "--work-after", "10.5", "--max-growth", "1M"]] {
        let running = try RunningProgram(verify + options)
        documents.append(running.readOutput(timeout: patience))
        #expect(running.wait() == 3)
      }
      let service = try Service()
      for requests in [["leak 8"], ["work"]] {
        let running = try RunningProgram([
          LeakTrace.program, "verify", "--live", "-p", String(service.process.processID), "--load",
          service.load(requests), "--rounds", "3", "--format", "json",
        ])
        documents.append(running.readOutput(timeout: patience))
        running.wait()
      }
      #expect(documents.allSatisfy { $0.hasPrefix("{") })
      try JSONSchema.validate(
        documents.map { String($0.split(separator: "\n")[0]) },
        schema: Programs.sources + "../../docs/schema/leaktrace.comparison-1.schema.json")
    }

    @Test func allowedGrowth() throws {
      let (status, _) = try verify(Service(), ["leak 100"], ["--rounds", "3", "--max-growth", "100"])
      #expect(status == 0)
    }

    @Test(arguments: [
      (["--load", "exit 7"], "ended with status 7 in warm-up 1 of 1"),
      (["--load", "kill -9 $$"], "ended with signal 9"),
      (["--load", "kill -9 PID; sleep 0.3"], "the traced process has ended"),
      (["--load", "true", "--rounds", "2"], "--rounds must be from 3"),
      (["--load", "true", "--work-before", "1", "--work-after", "1"], "--work-per-round"),
      ([], "--live needs a load"),
    ]) func refusals(options: [String], expected: String) throws {
      let service = try Service()
      let processID = String(service.process.processID)
      let running = try RunningProgram(
        [LeakTrace.program, "verify", "--live", "-p", processID]
          + options.map { $0.replacingOccurrences(of: "PID", with: processID) }, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 2)
      #expect(outcome.errors.contains(expected), "\(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1)
      #expect(outcome.output == "")
    }

    @Test func interrupted() throws {
      let service = try Service()
      let running = try RunningProgram(
        [
          LeakTrace.program, "verify", "--live", "-p", String(service.process.processID), "--load", "sleep 100",
        ], capturesErrors: true)
      // Its load runs.
      #expect(eventually { (try? run(["pgrep", "-P", String(running.processID)])) != nil })
      kill(running.processID, SIGINT)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status != 0)
      #expect(outcome.errors.contains("interrupted after 0 rounds"))
      #expect(try KernelPrograms.orphans() == [])
    }
  }
}
