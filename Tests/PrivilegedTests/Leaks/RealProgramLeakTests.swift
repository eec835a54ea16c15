import TestTools
import Testing

extension Privileged {
  /// Programs that many people run: what leaktrace and memcheck find at their exit.
  @Suite(.enabled(if: Memcheck.isInstalled)) struct RealProgramLeakTests {
    struct RealProgram: CustomTestStringConvertible {
      var command: [String]
      var environment: [String: String] = [:]
      /// It makes blocks of its environment, which is longer in Valgrind: only what is lost for sure is compared.
      var keepsEnvironment = false
      var testDescription: String { command[0] }
    }

    static let programs = [
      RealProgram(command: ["ls", "-l", "/usr"]),
      RealProgram(command: ["sort", "/etc/passwd"]),
      RealProgram(command: ["git", "hash-object", "/etc/passwd"]),
      RealProgram(command: [
        "sqlite3", ":memory:", "create table t(a, b); insert into t values (1, 'x'); select * from t;",
      ]),
      RealProgram(command: ["xmllint", "--format", "/usr/share/xml/schema/xml-core/catalog.xml"]),
      RealProgram(
        command: ["perl", "-e", "my %h = map { $_ => 'x' x $_ } 1 .. 200; print scalar(keys %h), qq(\n)"],
        environment: ["PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"], keepsEnvironment: true),
      RealProgram(
        command: ["/usr/bin/python3", "-c", "import json; print(json.dumps({'a': [1, 2]}))"],
        environment: ["PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"], keepsEnvironment: true),
    ].filter { $0.command[0].hasPrefix("/") || findTool($0.command[0]) != nil }

    @Test(arguments: programs) func totals(program: RealProgram) throws {
      let memcheck = try Memcheck.records(of: program.command, environment: program.environment)
        .totalWithoutEnvironment
      let report = try LeakTrace.leakReport(
        of: program.command, ["--max-stacks", "65536"], environment: program.environment)
      let found = report.records.totalWithoutEnvironment
      #expect(report.losses == [:])
      #expect(found[.definite] == memcheck[.definite] && found[.indirect] == memcheck[.indirect])
      if !program.keepsEnvironment { #expect(found == memcheck) }
    }
  }
}
