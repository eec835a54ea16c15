import TestTools
import Testing

extension Privileged {
  /// Leaks planted among many live blocks: Tests/Programs/leaks/planted.cpp.
  @Suite struct PlantedLeaksTests {
    /// memcheck counts what the program prints.
    @Test(.enabled(if: Memcheck.isInstalled)) func memcheckAgrees() throws {
      let arguments = ["1000", "10000", "7"]
      let truth = try Self.truth(in: run([Self.build()] + arguments))
      let found = try Memcheck.records(of: [Self.build()] + arguments).byFunction("planted_", "live_")
      let planted = found.filter { $0.key.hasPrefix("planted_") }.values.reduce(into: LeakKinds()) { $0 += $1 }
      #expect(planted.lost == truth)
      #expect(planted.all == truth)
      let live = found.filter { $0.key.hasPrefix("live_") }.values.reduce(into: LeakKinds()) { $0 += $1 }
      #expect(live[.reachable] == live.all)
    }

    /// Traced from exec: at least 999 in 1,000 of the lost blocks are found, and no live one is called lost. glibc
    /// overwrites what it hands out, so that nothing is left in it of what was there before.
    @Test(arguments: ["1", "2", "3"]) func tracedFromExec(seed: String) throws {
      let overwriting = ["GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165"]
      try check(seed: seed, environment: overwriting, least: 0.999)
    }

    /// In a block's bytes that the program has never written, such as the end of a short string, there may be pointers of
    /// whoever had the memory before. To tell these from what is in use takes a tool that sees every write.
    @Test(arguments: ["1", "2", "3"]) func uninitializedMemory(seed: String) throws {
      try check(seed: seed, environment: [:], least: 0.99)
    }

    private func check(seed: String, environment: [String: String], least: Double) throws {
      let outcome = try LeakTrace.trace(
        ["--format", "json"] + LeakTrace.leakCheck + ["--", Self.build(), "20000", "200000", seed],
        environment: environment)
      #expect(outcome.status == 0)
      let truth = try Self.truth(in: outcome.output)
      let report = try #require(LeakReport.all(in: outcome.output).last)
      #expect(report.losses == [:])
      let found = report.records.byFunction("planted_", "live_")
      let planted = found.filter { $0.key.hasPrefix("planted_") }.values.reduce(into: LeakKinds()) { $0 += $1 }
      #expect(planted.all == truth)
      #expect(Double(planted.lost.count) >= least * Double(truth.count), "\(planted)")
      for (function, kinds) in found where function.hasPrefix("live_") {
        #expect(kinds.lost == Blocks(0, 0), "\(function)")
      }
    }

    private static func build() throws -> String {
      try Programs.compile("leaks/planted.cpp", ["-fno-builtin", "-std=c++17"])
    }

    /// The program prints `lost BLOCKS BYTES`.
    private static func truth(in output: String) throws -> Blocks {
      let line = try #require(output.split(separator: "\n").first { $0.hasPrefix("lost ") })
      let words = line.split(separator: " ").compactMap { UInt64($0) }
      try #require(words.count == 2)
      return Blocks(words[1], words[0])
    }
  }
}
