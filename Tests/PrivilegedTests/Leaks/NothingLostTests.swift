import Glibc
import TestTools
import Testing

extension Privileged {
  /// Programs that many people run and that lose nothing: a word of a lost block would be wrong.
  @Suite struct NothingLostTests {
    struct Program: CustomTestStringConvertible {
      var command: [String]
      /// Whether it runs until it is told to end.
      var endedBy: String?
      var testDescription: String { command[0] }

      /// Servers are told to end by coreutils' timeout, which loses nothing itself.
      var wholeCommand: [String] {
        endedBy.map { ["timeout", "--preserve-status", "-s", $0, "2"] + command } ?? command
      }
    }

    static let programs = [
      Program(command: [
        "/usr/bin/python3", "-c", "import json, re; print(len(json.dumps({i: str(i) for i in range(1000)})))",
      ]),
      Program(command: [
        "php", "-r", "$a = []; for ($i = 0; $i < 30000; $i++) $a[] = \"x$i\"; echo count($a), \"\\n\";",
      ]),
      Program(command: [
        "node", "-e",
        "const m = new Map(); for (let i = 0; i < 3e4; i++) m.set(i, Buffer.alloc(100)); console.log(m.size)",
      ]),
      Program(command: [
        "sqlite3", ":memory:", "create table t(a, b); insert into t values (1, 'x'); select count(*) from t;",
      ]),
      Program(command: ["curl", "--silent", "file:///etc/passwd"]),
      Program(command: ["rg", "--count", "root", "/etc/passwd"]),
      Program(command: ["git", "hash-object", "/etc/passwd"]),
    ].filter { access($0.command[0], X_OK) == 0 || findTool($0.command[0]) != nil }

    @Test(arguments: programs) func nothingIsLost(program: Program) throws {
      let report = try LeakTrace.leakReport(of: program.wholeCommand, ["--max-stacks", "65536"])
      #expect(!report.leakChecks.isEmpty)
      for check in report.leakChecks {
        #expect(check.method == "at_exit")
        #expect(check.definitelyLost.count == 0 && check.indirectlyLost.count == 0, "\(lost(in: report))")
      }
    }

    @Test(.enabled(if: findTool("redis-server") != nil)) func redis() throws {
      let directory = try TemporaryDirectory()
      try nothingIsLost(
        program: Program(
          command: ["redis-server", "--port", "0", "--unixsocket", directory.file("socket"), "--save", ""],
          endedBy: "TERM"))
    }

    /// nginx's parent and its worker.
    @Test(.enabled(if: findTool("nginx") != nil)) func nginx() throws {
      let directory = try TemporaryDirectory()
      let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
        "\($0)_temp_path \(directory.file($0));"
      }
      try directory.write(
        "nginx.conf",
        """
        daemon off; user root; worker_processes 1; error_log stderr; pid \(directory.file("pid"));
        events {}
        http {
          access_log off; \(temporary.joined(separator: " "))
          server { listen unix:\(directory.file("socket")); location / { return 200 ok; } }
        }

        """)
      try nothingIsLost(
        program: Program(
          command: ["nginx", "-p", directory.path, "-c", directory.file("nginx.conf")], endedBy: "QUIT"))
    }

    /// Of a Go program with C code in it only what the C code has lost.
    @Test(.enabled(if: access(go, X_OK) == 0)) func plantedInGo() throws {
      let directory = try TemporaryDirectory()
      try directory.write("go.mod", "module planted\n\ngo 1.19\n")
      try directory.write(
        "main.go", String(decoding: contents(of: Programs.sources + "leaks/cgo/planted.go"), as: UTF8.self))
      let program = directory.file("planted")
      _ = try run([
        "env", "-C", directory.path, "GOCACHE=\(directory.file("cache"))", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local",
        Self.go, "build", "-o", program, ".",
      ])
      let report = try LeakTrace.leakReport(of: [program], ["-a", "--max-stacks", "65536"])
      let planted = report.verdicts(ofSize: 1234)
      // The address of the last one may be left over on a stack.
      #expect(planted.values.reduce(0, +) == 20)
      #expect(planted["definitely_lost", default: 0] >= 19, "\(planted)")
      #expect(report.verdicts(ofSize: 4321) == ["still_reachable": 1])
      #expect(report.leakChecks.map(\.definitelyLost.count) == [UInt64(planted["definitely_lost", default: 0])])
      #expect(report.leakChecks.map(\.indirectlyLost.count) == [0])
    }

    /// With its standard library compiled, so that building takes a second.
    private static let go = "/usr/lib/go-1.19/bin/go"

    private func lost(in report: LeakReport) -> [String] {
      report.sites.filter { $0.verdict.definitelyLost.count > 0 }.map { site in
        site.frames.prefix(5).map { $0.function ?? "?" }.joined(separator: " < ")
      }
    }
  }
}
