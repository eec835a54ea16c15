import Glibc
import ReportFormats
import TestTools
import Testing

extension Privileged {
  /// `leaktrace watch` as an operator runs it, beside a program that leaks.
  @Suite struct WatchRunTests {
    /// A watch whose log is read until it listens.
    final class Watch {
      let running: RunningProgram
      let port: Int
      let log: String

      init(_ arguments: [String], log: String) throws {
        self.log = log
        let words = [LeakTrace.program, "watch", "--listen", "127.0.0.1:0", "--socket", "off"] + arguments
        let command = words.map { "'\($0)'" }.joined(separator: " ")
        running = try RunningProgram(["sh", "-c", "exec \(command) 2>'\(log)'"])
        port = try Self.waitForPort(log)
      }

      private static func waitForPort(_ log: String) throws -> Int {
        var line: Substring?
        _ = eventually {
          let text = String(decoding: contents(of: log), as: UTF8.self)
          line = text.split(separator: "\n").first { $0.contains("listening on ") }
          return line != nil
        }
        guard let line else {
          throw ToolFailure(command: "watch", status: 0, output: String(decoding: contents(of: log), as: UTF8.self))
        }
        return Int(line.split(separator: "/")[1].split(separator: ":").last ?? "") ?? 0
      }

      var text: String { String(decoding: contents(of: log), as: UTF8.self) }

      /// Whether the log comes to contain these words.
      func waitFor(_ words: String) -> Bool { eventually(within: 120) { text.contains(words) } }

      /// Until it has looked at the host so often again, and has published its metrics afterwards.
      func waitForLooks(_ count: Double, headers: [String] = []) throws {
        func looks() throws -> Double? {
          let metrics = try HTTPResponse.get("/metrics", port: port, headers: headers).text
          let line = metrics.split(separator: "\n").first { $0.hasPrefix("leaktrace_samples_total ") }
          return line?.split(separator: " ").last.flatMap { Double($0) }
        }
        let before = try #require(try looks())
        try #require(eventually { (try? looks()).flatMap { $0 } ?? 0 >= before + count }, "\(text)")
      }

      /// Ends it as systemd does. The exit status.
      func terminate() -> Int32 {
        kill(running.processID, SIGTERM)
        return running.wait()
      }
    }

    private static let leaking = """
      import ctypes, sys, time
      libc = ctypes.CDLL(None)
      libc.malloc.restype = ctypes.c_void_p
      print(flush=True)
      while True:
          for _ in range(10): libc.memset(ctypes.c_void_p(libc.malloc(20000)), 1, 20000)
          time.sleep(0.02)
      """

    /// The value of the first sample that begins so.
    private func value(_ metrics: String, _ prefix: String) -> Double? {
      metrics.split(separator: "\n").first { $0.hasPrefix(prefix) }?.split(separator: " ").last.flatMap { Double($0) }
    }

    @Test func tracesATargetAndServesIt() throws {
      let python = "/usr/bin/python3"
      guard access(python, X_OK) == 0, findTool("prometheus") != nil else {
        print("skipped: python3 or prometheus is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let leak = try RunningProgram([python, "-c", Self.leaking])
      _ = leak.readLine(timeout: patience)
      let token = try directory.write("token", "secret-token\n")
      let config = try directory.write(
        "watch.conf",
        "budget = 50%\ninterval = 1s\ntrace-length = 4s\ntrace-every = 60s\narm = no\ntoken-file = \(token)\n")
      let history = directory.file("history.db")
      let watch = try Watch(
        ["--config", config, "--history", history, "--target", "pid:\(leak.processID)"], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      let bearer = ["Authorization: Bearer secret-token"]
      #expect(watch.waitFor("traced process \(leak.processID) (python3)"), "\(watch.text)")

      // Who has no token sees nothing but the health.
      #expect(try HTTPResponse.get("/healthz", port: watch.port).status == 200)
      #expect(try HTTPResponse.get("/metrics", port: watch.port).status == 401)
      #expect(
        try HTTPResponse.get("/metrics", port: watch.port, headers: ["Authorization: Bearer secret-tokem"]).status
          == 401)
      #expect(try HTTPResponse.get("/metrics", port: watch.port, headers: bearer, method: "POST").status == 405)
      #expect(try HTTPResponse.get("/other", port: watch.port, headers: bearer).status == 404)
      #expect(try HTTPResponse.get("/profile?seconds=0", port: watch.port, headers: bearer).status == 400)

      // A real Prometheus takes the metrics.
      try checkPrometheus(watch.port, token: "secret-token", in: directory)
      let metrics = try HTTPResponse.get("/metrics", port: watch.port, headers: bearer).text
      #expect(!metrics.contains("# EOF"), "who does not ask for OpenMetrics gets the older format")
      let open = try HTTPResponse.get(
        "/metrics", port: watch.port, headers: bearer + ["Accept: application/openmetrics-text; version=1.0.0"])
      #expect(open.text.hasSuffix("# EOF\n"))
      if access("/usr/bin/promtool", X_OK) == 0 {
        let directory = try TemporaryDirectory()
        let file = try directory.write("metrics", metrics)
        let said = try run(["sh", "-c", "promtool check metrics < '\(file)' 2>&1 || echo failed"])
        #expect(said == "", "\(said)")
      } else {
        print("skipped: promtool is not installed")
      }
      #expect(try #require(value(metrics, "leaktrace_traces_total")) >= 1)
      #expect(try #require(value(metrics, "leaktrace_probe_hits_total")) > 100)
      #expect(try #require(value(metrics, "leaktrace_cpu_seconds_total{where=\"probes\"}")) > 0)
      #expect(metrics.contains("leaktrace_site_outstanding_bytes{target=\"python3\",function=\""))
      // Sampled: a megabyte at least of the four seconds' two.
      #expect(try #require(value(metrics, "leaktrace_site_outstanding_bytes{target=\"python3\"")) > 1_000_000)

      // A profile that pprof reads.
      let between = time(nil)
      pause(milliseconds: 1100)
      let response = try HTTPResponse.get(
        "/profile?seconds=2&pid=\(leak.processID)", port: watch.port, headers: bearer)
      #expect(response.status == 200)
      let profile = try ProfileFile.report(from: response.body)
      #expect(profile.target.processID == leak.processID)
      #expect(profile.totals.outstanding.bytes > 500_000)

      // A mistake in the file is told and changes nothing; a right file is taken over.
      _ = try directory.write("watch.conf", "budgte = 3%\ntoken-file = \(token)\n")
      kill(watch.running.processID, SIGHUP)
      #expect(watch.waitFor("line 1: there is no key 'budgte'"), "\(watch.text)")
      _ = try directory.write("watch.conf", "budget = 40%\ninterval = 1s\ntoken-file = \(token)\n")
      kill(watch.running.processID, SIGHUP)
      #expect(watch.waitFor("the configuration was read again"), "\(watch.text)")
      try watch.waitForLooks(1, headers: bearer)
      let later = try HTTPResponse.get("/metrics", port: watch.port, headers: bearer).text
      #expect(value(later, "leaktrace_budget_ratio") == 0.4)

      #expect(watch.terminate() == 0)
      kill(leak.processID, SIGKILL)
      _ = leak.wait()
      let report = try run([LeakTrace.program, "report", "--history", history, "--since", "10m", "--format", "json"])
      #expect(report.contains("\"pid\":\(leak.processID)"))
      // The trace before and the profile after a moment: the program leaks in both.
      let ago = "\(time(nil) - between)s"
      let verify = try RunningProgram(
        [LeakTrace.program, "verify", "--history", history, "--before", ago, "--after", ago, "--format", "json"])
      let verdict = verify.readOutput(timeout: patience)
      // The profile is of two seconds: mostly too short to tell that the growth goes on, and never a reason to say that
      // nothing leaks.
      let answers: [Int32: String] = [1: "leaking", 3: "cannot_tell"]
      let answer = answers[verify.wait()]
      #expect(answer.map { verdict.contains("\"answer\":\"\($0)\"") } == true, "\(verdict)")
      #expect(verdict.contains("\"schema\":\"leaktrace.comparison/1\""), "\(verdict)")
      #expect(throws: ToolFailure.self) {
        try run([LeakTrace.program, "report", "--history", history, "--since", "2h", "--until", "1h"])
      }
    }

    private func checkPrometheus(_ port: Int, token: String, in directory: TemporaryDirectory) throws {
      let rules = Programs.sources + "../../packaging/prometheus-rules.yml"
      let config = try directory.write(
        "prometheus.yml",
        """
        global: {scrape_interval: 1s, evaluation_interval: 1s}
        rule_files: ['\(rules)']
        scrape_configs:
          - job_name: leaktrace
            authorization: {credentials: \(token)}
            static_configs: [{targets: ['127.0.0.1:\(port)']}]
        """)
      try run(["promtool", "check", "config", config])
      let own = 20_000 + Int(getpid()) % 20_000
      let prometheus = try RunningProgram(
        [
          "prometheus", "--config.file=\(config)", "--storage.tsdb.path=\(directory.file("data"))",
          "--web.listen-address=127.0.0.1:\(own)", "--log.level=error",
        ], capturesErrors: true)
      defer {
        kill(prometheus.processID, SIGKILL)
        _ = prometheus.wait()
      }
      var answer = ""
      _ = eventually {
        answer = (try? HTTPResponse.get("/api/v1/query?query=leaktrace_build_info", port: own).text) ?? ""
        return answer.contains("\"version\"")
      }
      #expect(answer.contains("\"job\":\"leaktrace\""), "\(answer)")
      let up = try HTTPResponse.get("/api/v1/query?query=up", port: own).text
      #expect(up.contains(",\"1\"]"), "\(up)")
      let loaded = try HTTPResponse.get("/api/v1/rules", port: own).text
      #expect(loaded.contains("LeaktraceLimitNear"))
    }

    /// Growth that nobody named is found, told of, and traced.
    @Test func armsItselfForWhatGrows() throws {
      let python = "/usr/bin/python3"
      guard access(python, X_OK) == 0 else {
        print("skipped: python3 is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let leak = try RunningProgram([python, "-c", Self.leaking])
      defer {
        kill(leak.processID, SIGKILL)
        _ = leak.wait()
      }
      _ = leak.readLine(timeout: patience)
      let alerts = directory.file("alerts")
      let watch = try Watch(
        [
          "--budget", "50%", "--interval", "1s", "--trace-length", "3s", "--lookback", "60s", "--on-alert",
          "cat >> \(alerts)", "--history",
          directory.file("history.db"),
        ], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      #expect(watch.waitFor("traced process \(leak.processID) (python3)"), "\(watch.text)")
      #expect(watch.terminate() == 0)
      // What was kept shows the same growth.
      let observed = try run(
        [LeakTrace.program, "observe", "--history", directory.file("history.db"), "--since", "10m", "--format", "csv"])
      #expect(observed.contains("process,\(leak.processID),python3,"))
      #expect(
        observed.split(separator: "\r\n").contains {
          $0.hasPrefix("process,\(leak.processID),python3,") && $0.contains(",growing,")
        })
      let told = String(decoding: contents(of: alerts), as: UTF8.self).split(separator: "\n")
      let alert = try #require(told.first { $0.contains("\"name\":\"\(leak.processID)\"") })
      #expect(alert.hasPrefix("{\"schema\":\"leaktrace.alert/1\""))
      #expect(alert.contains("\"next_command\":\"sudo leaktrace trace -p \(leak.processID) "))
    }

    @Test func refusesWrongSettings() throws {
      let directory = try TemporaryDirectory()
      let config = try directory.write("watch.conf", "budget = lots\nintervall = 3s\n")
      let running = try RunningProgram([LeakTrace.program, "watch", "--config", config], capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 2)
      #expect(outcome.errors.contains("line 1: budget: 'lots' is no share of a CPU"))
      #expect(outcome.errors.contains("line 2: there is no key 'intervall'"))
    }
  }
}
