import FoundationEssentials
import Glibc
import TestTools
import Testing

extension Privileged {
  /// `leaktrace doctor` on this host, which can trace.
  @Suite struct DoctorRunTests {
    private struct Diagnosis: Decodable {
      struct Check: Decodable {
        var area: String
        var name: String
        var status: String
      }
      struct Forecast: Decodable {
        var hitsPerSecond: Double
        var fullCpus: Double
        var sampledCpus: Double
      }
      struct Costs: Decodable {
        var emulatedNanoseconds: Double
        var steppedNanoseconds: Double
      }
      var ready: Bool
      var checks: [Check]
      var costs: Costs?
      var forecast: Forecast?
    }

    private func doctor(_ arguments: [String]) throws -> (status: Int32, diagnosis: Diagnosis) {
      let running = try RunningProgram(
        [LeakTrace.program, "doctor", "--format", "json"] + arguments, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      return (outcome.status, try decoder.decode(Diagnosis.self, from: Data(outcome.output.utf8)))
    }

    @Test func findsWhatWorks() throws {
      let (status, diagnosis) = try doctor([])
      #expect(status == 0)
      #expect(diagnosis.ready)
      #expect(diagnosis.checks.count >= 20)
      func found(_ name: String) -> String? { diagnosis.checks.first { $0.name == name }?.status }
      #expect(found("leaktrace trace") == "works")
      #expect(found("raw tracepoints") == "works")
      #expect(found("ptrace") == "works")
      let costs = try #require(diagnosis.costs)
      #expect(costs.emulatedNanoseconds > 50)
      #expect(costs.steppedNanoseconds > costs.emulatedNanoseconds)
    }

    @Test func predictsTheOverheadOfATarget() throws {
      // Pairs without end; traced, it still makes 50,000 of them a second.
      let pairs = try Programs.compile("loads/pairs.c", ["-fno-builtin"])
      let program = try RunningProgram([pairs, "100000000000", "64"])
      defer {
        kill(program.processID, SIGKILL)
        _ = program.wait()
      }
      program.send("\n")
      #expect(eventually { processState(program.processID) == "R" })
      let (status, diagnosis) = try doctor(["-p", String(program.processID)])
      #expect(status == 0)
      let forecast = try #require(diagnosis.forecast)
      #expect(forecast.hitsPerSecond > 50_000)
      #expect(forecast.fullCpus > forecast.sampledCpus)
      #expect(forecast.sampledCpus > 0.02)
      #expect(diagnosis.checks.contains { $0.name == "allocator" && $0.status != "fails" })
    }

    @Test func failsForWhatCannotBeTraced() throws {
      let (status, diagnosis) = try doctor(["-p", "2147483600"])
      #expect(status == 1)
      #expect(!diagnosis.ready)
      #expect(diagnosis.forecast == nil)
    }
  }
}
