import TestTools
import Testing

extension Privileged {
  /// Small programs whose leaks are known, under leaktrace and under the tools that are known to be right.
  @Suite struct LeakCaseTests {
    /// The truth is what memcheck says, but for differences that are written down.
    @Test(.enabled(if: Memcheck.isInstalled), arguments: LeakProgram.all)
    func memcheckAgrees(program: LeakProgram) throws {
      var found = try Self.memcheck(program).byCase()
      // memcheck's heap is at low addresses: a time of day or the number of a file on the stack can look like one of them.
      // Another run may have other numbers there; the many blocks of a deep list are hit by some of nearly every one.
      for _ in 0..<3 where !program.cases.allSatisfy({ found[$0.name, default: LeakKinds()] == $0.memcheck }) {
        found = try Self.memcheck(program).byCase()
      }
      for expected in program.cases where expected.memcheck[.indirect].count > 10_000 {
        found[expected.name]?.move(.possible, to: .indirect)
      }
      for expected in program.cases {
        #expect(found[expected.name, default: LeakKinds()] == expected.memcheck, "\(expected.name)")
      }
      #expect(Set(found.keys).subtracting(program.cases.map(\.name)) == [])
    }

    @Test(arguments: LeakProgram.all) func leakSanitizerAgrees(program: LeakProgram) throws {
      let (path, environment) = try program.build(["-fsanitize=leak"])
      var found: [String: LeakKinds] = [:]
      for arguments in program.runs(leavingOut: program.notForSanitizer) {
        let records = try LeakSanitizer.records(of: [path] + arguments, environment: environment)
        found.merge(records.byCase()) { _, _ in fatalError("a case that ran twice") }
      }
      for expected in program.cases where !program.notForSanitizer.contains(expected.name) {
        #expect(found[expected.name, default: LeakKinds()].lost == expected.sanitizer, "\(expected.name)")
      }
      #expect(Set(found.keys).subtracting(program.cases.map(\.name)) == [])
    }

    /// Traced from exec and checked before its memory goes.
    @Test(arguments: LeakProgram.all) func atExit(program: LeakProgram) throws {
      let found = try Self.atExit(program).byCase()
      for expected in program.cases {
        #expect(found[expected.name, default: LeakKinds()] == expected.truth, "\(expected.name)")
      }
      #expect(Set(found.keys).subtracting(program.cases.map(\.name)) == [])
    }

    /// What no case allocates, the libraries' own blocks, has the same kinds to memcheck.
    @Test(.enabled(if: Memcheck.isInstalled), arguments: LeakProgram.all)
    func librariesOwnBlocks(program: LeakProgram) throws {
      func others(_ records: [LeakRecord]) -> LeakKinds {
        // The loader aligns its table of objects inside a block of malloc's: whether a pointer to its start is left depends on
        // what malloc has given it.
        records.filter {
          !$0.isThreadLocalStorage && $0.subject() == nil && !$0.functions.contains("_dl_find_object_update")
        }
        .totalWithoutEnvironment
      }
      let found = try others(Self.atExit(program))
      let expected = try others(Self.memcheck(program))
      #expect(found == expected)
    }

    /// Variables of threads and libraries that are alive are not lost, nor those that libc keeps for the next thread.
    @Test(arguments: LeakProgram.all) func threadLocalStorageIsNeverLost(program: LeakProgram) throws {
      for record in try Self.atExit(program) where record.isThreadLocalStorage {
        #expect(record.kinds.lost == Blocks(0, 0), "\(record.functions)")
      }
    }

    /// Attached before the cases run and checked after.
    @Test(arguments: LeakProgram.all) func attached(program: LeakProgram) throws {
      let (path, environment) = try program.build()
      var found: [String: LeakKinds] = [:]
      for arguments in program.runs(leavingOut: program.ending) {
        let traced = try TracedProgram([path] + arguments, environment: environment)
        let attachment = try LeakAttachment(to: traced)
        try traced.step()
        let report = try attachment.interrupt()
        #expect(report.losses == [:])
        #expect(report.unchecked == 0)
        found.merge(report.records.byCase()) { _, _ in fatalError("a case that ran twice") }
        traced.letGo()
        #expect(traced.end() == 0)
      }
      for expected in program.cases where !program.ending.contains(expected.name) {
        #expect(found[expected.name, default: LeakKinds()] == expected.running, "\(expected.name)")
      }
      #expect(Set(found.keys).subtracting(program.cases.map(\.name)) == [])
    }

    // MARK: Runs, each made once

    nonisolated(unsafe) private static var results: [String: [LeakRecord]] = [:]

    private static func once(_ key: String, _ make: () throws -> [LeakRecord]) throws -> [LeakRecord] {
      if let known = results[key] { return known }
      let records = try make()
      results[key] = records
      return records
    }

    private static func memcheck(_ program: LeakProgram) throws -> [LeakRecord] {
      try once("memcheck \(program.source)") {
        let (path, environment) = try program.build()
        return try program.runs().flatMap { try Memcheck.records(of: [path] + $0, environment: environment) }
      }
    }

    private static func atExit(_ program: LeakProgram) throws -> [LeakRecord] {
      try once("leaktrace \(program.source)") {
        let (path, environment) = try program.build()
        return try program.runs().flatMap { arguments in
          let report = try LeakTrace.leakReport(of: [path] + arguments, environment: environment)
          #expect(report.losses == [:])
          #expect(report.unchecked == 0)
          return report.records
        }
      }
    }
  }
}
