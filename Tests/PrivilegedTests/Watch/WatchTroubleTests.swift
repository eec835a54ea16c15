import Glibc
import ReportFormats
import TestTools
import Testing

extension Privileged {
  /// A watch beside control groups that run out of memory, and with services that take its profiles.
  @Suite struct WatchTroubleTests {
    typealias Watch = WatchRunTests.Watch

    /// A memory control group with a limit, of whichever version the host has; removed at the end.
    private final class MemoryGroup {
      let directory: String
      /// As the kernel and a watch name it.
      let path: String

      init?(limit: Int) {
        path = "/leaktrace-limited-\(getpid())"
        let isFirst = access("/sys/fs/cgroup/memory", F_OK) == 0
        directory = (isFirst ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") + path
        guard mkdir(directory, 0o755) == 0 else { return nil }
        let isLimited = Self.write(
          String(limit), to: directory + (isFirst ? "/memory.limit_in_bytes" : "/memory.max"))
        if !isFirst { _ = Self.write("0", to: directory + "/memory.swap.max") }
        guard isLimited else {
          rmdir(directory)
          return nil
        }
      }

      deinit {
        _ = eventually(within: 5) { rmdir(directory) == 0 }
      }

      private static func write(_ text: String, to path: String) -> Bool {
        let descriptor = open(path, O_WRONLY)
        defer { if descriptor >= 0 { close(descriptor) } }
        return descriptor >= 0 && Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
      }
    }

    /// Goes into a group, takes so many bytes at once, then so many every 50 ms by `malloc`.
    private static let growing = """
      import ctypes, os, sys, time
      open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))
      libc = ctypes.CDLL(None)
      libc.malloc.restype = ctypes.c_void_p
      def take(size): libc.memset(ctypes.c_void_p(libc.malloc(size)), 1, size)
      print(flush=True)
      sys.stdin.readline()
      take(int(sys.argv[2]))
      while True:
          for _ in range(10): take(int(sys.argv[3]) // 10)
          time.sleep(0.05)
      """

    private func start(in group: MemoryGroup, taking bytes: Int, then rate: Int) throws -> RunningProgram {
      let running = try RunningProgram(["python3", "-c", Self.growing, group.directory, String(bytes), String(rate)])
      _ = running.readLine(timeout: patience)
      return running
    }

    private func snapshots(_ history: String, of processID: Int32) throws -> [String] {
      try run([
        "sqlite3", history, "SELECT reason, outstanding_bytes > 0 FROM snapshots WHERE pid = \(processID) ORDER BY id",
      ]).split(separator: "\n").map(String.init)
    }

    @Test func savesWhatItKnowsOfAVictim() throws {
      guard findTool("python3") != nil, findTool("sqlite3") != nil, let group = MemoryGroup(limit: 96 << 20) else {
        print("skipped: no control group with a limit can be made here, or python3 or sqlite3 is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let victim = try start(in: group, taking: 20 << 20, then: 300_000)
      let (history, alerts) = (directory.file("history.db"), directory.file("alerts"))
      let watch = try Watch(
        [
          "--budget", "100%", "--interval", "2s", "--trace-length", "120s", "--no-arm", "--target",
          "pid:\(victim.processID)", "--history", history, "--on-alert", "cat >> \(alerts)",
        ], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      #expect(watch.waitFor("tracing process \(victim.processID) (python3)"), "\(watch.text)")
      victim.send("go\n")
      #expect(victim.wait() == 128 + SIGKILL)
      // At once, not at the end of the trace, which has two minutes.
      #expect(watch.waitFor("the OOM killer has marked it"), "\(watch.text)")
      try watch.waitForLooks(2)
      let metrics = try HTTPResponse.get("/metrics", port: watch.port).text
      #expect(metrics.contains("leaktrace_oom_victims_total 1\n"))
      #expect(watch.terminate() == 0)
      // The trace is kept for what it is, with what was outstanding.
      #expect(try snapshots(history, of: victim.processID) == ["oom|1"])
      let report = try run([LeakTrace.program, "report", "--history", history, "--since", "5m", "--format", "json"])
      #expect(report.contains("\"pid\":\(victim.processID)"))
      let told = String(decoding: contents(of: alerts), as: UTF8.self).split(separator: "\n")
      let alert = try #require(told.first { $0.contains("\"reason\":\"oom\"") }, "\(watch.text)")
      #expect(alert.contains("\"kind\":\"process\",\"name\":\"\(victim.processID)\",\"command\":\"python3\""))
      #expect(alert.contains("\"cgroup\":\"\(group.path)\""))
      #expect(alert.contains("\"processes\":[{\"pid\":\(victim.processID),\"command\":\"python3\",\"bytes\":"))
      // The group's counter says the same again, which is no news.
      #expect(told.count { $0.contains("\"reason\":\"oom\"") } == 1)
      let counted = try run(["sqlite3", history, "SELECT count(*) FROM alerts WHERE name = '\(victim.processID)'"])
      #expect(counted == "1\n")
    }

    @Test func tracesAGroupNearItsLimit() throws {
      guard findTool("python3") != nil, findTool("sqlite3") != nil, let group = MemoryGroup(limit: 96 << 20) else {
        print("skipped: no control group with a limit can be made here, or python3 or sqlite3 is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let member = try start(in: group, taking: 90 << 20, then: 1000)
      defer {
        kill(member.processID, SIGKILL)
        _ = member.wait()
      }
      member.send("go\n")
      let (history, alerts) = (directory.file("history.db"), directory.file("alerts"))
      let watch = try Watch(
        [
          "--budget", "50%", "--interval", "2s", "--trace-length", "3s", "--history", history, "--on-alert",
          "cat >> \(alerts)",
        ], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      #expect(watch.waitFor("(python3) for 3.00 s: limit"), "\(watch.text)")
      #expect(watch.waitFor("traced process \(member.processID) (python3)"), "\(watch.text)")
      #expect(watch.terminate() == 0)
      #expect(try snapshots(history, of: member.processID).first?.hasPrefix("limit|") == true)
      let told = String(decoding: contents(of: alerts), as: UTF8.self).split(separator: "\n")
      let alert = try #require(told.first { $0.contains("\"reason\":\"limit\"") })
      #expect(alert.contains("\"kind\":\"cgroup\",\"name\":\"\(group.path)\""))
      #expect(alert.contains("\"processes\":[{\"pid\":\(member.processID),\"command\":\"python3\""))
    }

    /// A file that is right by itself and names what cannot be opened changes nothing.
    @Test func staysAsItIsWhenANewConfigurationCannotBeUsed() throws {
      let directory = try TemporaryDirectory()
      let history = directory.file("history.db")
      func configure(_ text: String) throws { try directory.write("watch.conf", "interval = 1s\narm = no\n" + text) }
      try configure("budget = 50%\nhistory = \(history)\n")
      let watch = try Watch(["--config", directory.file("watch.conf")], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      for (text, words) in [
        ("history = \(directory.file("none"))/history.db", "history open \(directory.file("none"))/history.db: "),
        ("push-parca = http://127.0.0.1\npush-token-file = \(directory.file("none"))", "push-token-file "),
        ("push-pyroscope = https://127.0.0.1", "line 4: push-pyroscope: 'https://127.0.0.1': TLS is left to a proxy"),
      ] {
        try configure("budget = 20%\n" + text + "\n")
        kill(watch.running.processID, SIGHUP)
        #expect(watch.waitFor(words), "\(watch.text)")
      }
      try watch.waitForLooks(2)
      #expect(watch.text.split(separator: "\n").count { $0.contains("the configuration is not taken over: ") } == 3)
      let metrics = try HTTPResponse.get("/metrics", port: watch.port).text
      #expect(metrics.contains("leaktrace_budget_ratio 0.5\n"))
      #expect(metrics.contains("leaktrace_history_errors_total 0\n"))
      #expect(!metrics.contains("leaktrace_push_profiles_total"))
      try configure("budget = 20%\nhistory = \(history)\n")
      kill(watch.running.processID, SIGHUP)
      #expect(watch.waitFor("the configuration was read again"), "\(watch.text)")
      #expect(watch.terminate() == 0)
    }

    /// A trace arrives at both services, and what one of them refuses at first is sent again.
    @Test func sendsProfiles() throws {
      guard findTool("python3") != nil else {
        print("skipped: python3 is not installed")
        return
      }
      let directory = try TemporaryDirectory()
      let leak = try RunningProgram([
        "python3", "-c",
        "import ctypes, time\nlibc = ctypes.CDLL(None)\nprint(flush=True)\nwhile True: libc.malloc(100000); time.sleep(0.01)",
      ])
      defer {
        kill(leak.processID, SIGKILL)
        _ = leak.wait()
      }
      _ = leak.readLine(timeout: patience)
      let token = try directory.write("token", "push-secret\n")
      // In trouble for longer than the watch takes between two looks, so that it tells.
      let pyroscope = try ProfileReceiver(statuses: [503, 503, 503], token: "push-secret")
      let parca = try ProfileReceiver(token: "push-secret")
      let watch = try Watch(
        [
          "--budget", "100%", "--interval", "1s", "--trace-length", "3s", "--trace-every", "600s", "--no-arm",
          "--target", "pid:\(leak.processID)", "--push-pyroscope", "http://127.0.0.1:\(pyroscope.port)/prefix",
          "--push-parca", "http://localhost:\(parca.port)", "--push-token-file", token, "--push-label", "rack=7",
        ], log: directory.file("log"))
      defer { kill(watch.running.processID, SIGKILL) }
      #expect(watch.waitFor("traced process \(leak.processID) (python3)"), "\(watch.text)")
      for _ in 0..<3 { #expect(pyroscope.next()?.status == 503) }
      let first = try #require(pyroscope.next())
      #expect((first.status, first.error) == (200, ""))
      #expect(first.labels["service_name"] == "python3")
      #expect(first.labels["reason"] == "target")
      #expect(first.labels["rack"] == "7")
      let second = try #require(parca.next())
      #expect((second.status, second.error) == (200, ""))
      #expect(second.labels["__name__"] == "memory")
      #expect(second.labels["comm"] == "python3")
      #expect(contents(of: first.file) == contents(of: second.file))
      let profile = try ProfileFile.report(from: contents(of: first.file))
      #expect(profile.totals.outstanding.bytes > 500_000)
      try watch.waitForLooks(2)
      let metrics = try HTTPResponse.get("/metrics", port: watch.port).text
      #expect(metrics.contains("leaktrace_push_profiles_total{to=\"pyroscope\"} 1\n"))
      #expect(metrics.contains("leaktrace_push_profiles_total{to=\"parca\"} 1\n"))
      #expect(metrics.contains("leaktrace_push_sent_bytes_total{to=\"pyroscope\"} \(first.bytes)\n"))
      #expect(metrics.contains("leaktrace_push_retries_total{to=\"pyroscope\"} 3\n"))
      #expect(metrics.contains("leaktrace_push_failures_total{to=\"parca\",cause=\"refused\"} 0\n"))
      #expect(watch.text.contains("profiles do not arrive at pyroscope (http://127.0.0.1:\(pyroscope.port)/prefix):"))
      #expect(watch.text.contains("profiles arrive at pyroscope again"))
      #expect(watch.terminate() == 0)
    }
  }
}
