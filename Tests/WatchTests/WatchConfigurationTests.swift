import Testing
import Watch

@Suite struct WatchConfigurationTests {
  @Test func takesEveryKey() {
    var configuration = WatchConfiguration()
    let mistakes = WatchConfigurationFile.apply(
      """
      # a remark
      budget = 2%
      interval = 5s   # another
      lookback = 2h
      listen = [::1]:9000
      token-file = /etc/leaktrace/token
      history = "/var/lib/leaktrace/history.db"
      history-size = 64M
      retention = 7d
      target = unit:nginx.service
      target = comm:worker
      trace-length = 30s
      trace-every = 15m
      sample-bytes = 1M
      arm = no
      on-alert = mail -s leak root
      alert-every = 10m
      alert-growth = 16M
      alert-forecast = 1h
      top = 5

      """, to: &configuration)
    #expect(mistakes.isEmpty)
    #expect(configuration.budget == 0.02)
    #expect(configuration.interval == 5)
    #expect(configuration.listen == "[::1]:9000")
    #expect(configuration.history == "/var/lib/leaktrace/history.db")
    #expect(configuration.historySize == 64 << 20)
    #expect(configuration.targets == [.unit("nginx.service"), .command("worker")])
    #expect(!configuration.arms)
    #expect(configuration.onAlert == "mail -s leak root")
    #expect(configuration.growthThreshold == Double(16 << 20))
    #expect(configuration.top == 5)
  }

  @Test func tellsEachMistakeAndUsesNothing() {
    var configuration = WatchConfiguration()
    let mistakes = WatchConfigurationFile.apply(
      "budget = 5%\nbudgte = 1%\ninterval = soon\nnonsense\ntop = 0\ntop = 3\nlisten = here\ntarget = cgroup:x\n",
      to: &configuration)
    #expect(mistakes.map(\.line) == [2, 3, 4, 5, 6, 7, 8])
    #expect(mistakes[0].description.hasPrefix("line 2: there is no key 'budgte': "))
    #expect(mistakes[1].description.contains("interval: 'soon' is no length of time"))
    #expect(mistakes[4].text == "top is given again, first in line 5")
    #expect(configuration == WatchConfiguration())
  }

  /// What is no configuration at all is told of briefly and without its control characters.
  @Test func tellsOfWhatIsNoText() {
    var configuration = WatchConfiguration()
    let mistakes = WatchConfigurationFile.apply(
      String(repeating: "\u{0}", count: 1 << 16) + "\nlisten = localhost:9777\n", to: &configuration)
    #expect(mistakes.map(\.line) == [1, 2])
    #expect(mistakes[0].text == "'" + String(repeating: "?", count: 60) + "' is no 'key = value'")
    #expect(mistakes[1].text == "listen: 'localhost' is no numeric address")
  }

  @Test func readsTargets() {
    #expect(WatchTarget("42") == .process(42))
    #expect(WatchTarget("pid:42") == .process(42))
    #expect(WatchTarget("nginx") == .command("nginx"))
    #expect(WatchTarget("cgroup:/a/b") == .cgroup("/a/b"))
    #expect(WatchTarget("pid:x") == nil)
    #expect(WatchTarget("0") == nil)
    #expect(WatchTarget("") == nil)
    #expect(WatchTarget("unit:") == nil)
    #expect(WatchTarget("comm:") == nil)
    #expect(WatchTarget(":nginx") == nil)
  }
}
