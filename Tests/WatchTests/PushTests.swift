import Glibc
import ReportFormats
import SystemSupport
import TestTools
import Testing
import TraceModel
import Watch
import WatchServer

/// Profiles on their way to Pyroscope and Parca.
@Suite struct PushTests {
  private static let hosts = "127.0.0.1 localhost\n10.1.2.3\tpyro pyro.example # old\n# 10.9.9.9 gone\nfe80::1 six\n"

  private func destination(_ url: String, _ service: PushService = .pyroscope) throws -> PushDestination {
    try PushDestination(service, url: url, hosts: Self.hosts)
  }

  // MARK: Addresses

  @Test func readsAddresses() throws {
    let plain = try destination("http://10.0.0.1")
    #expect((plain.address, plain.port, plain.host, plain.pathPrefix) == ("10.0.0.1", 4040, "10.0.0.1", ""))
    #expect(try destination("http://10.0.0.1", .parca).port == 7070)
    let full = try destination("http://pyro.example:80/some/prefix//")
    #expect((full.address, full.port, full.host) == ("10.1.2.3", 80, "pyro.example:80"))
    #expect(full.pathPrefix == "/some/prefix")
    #expect(full.url == "http://pyro.example:80/some/prefix")
    let six = try destination("http://[::1]:9/")
    #expect((six.address, six.port, six.host) == ("::1", 9, "[::1]:9"))
    #expect(try destination("http://six").address == "fe80::1")
    #expect(try PushDestination(.parca, url: "http://localhost", hosts: "").address == "127.0.0.1")
  }

  @Test(arguments: [
    ("https://10.0.0.1", "TLS is left to a proxy or agent on this host, give its http:// address"),
    ("10.0.0.1:4040", "does not begin with http://"),
    ("http://10.0.0.1:0", "'0' is no port"),
    ("http://10.0.0.1:port", "'port' is no port"),
    ("http://:4040", "names no host"),
    ("http://::1:4040", "an IPv6 address is written in brackets"),
    ("http://user@10.0.0.1", "there can be a host, a port and a path, and nothing else"),
    ("http://10.0.0.1/ingest?name=x", "there can be a host, a port and a path, and nothing else"),
    ("http://gone", "'gone' is neither a numeric address nor in /etc/hosts, and no other names are looked up"),
  ])
  func tellsWhatIsWrongWithAnAddress(_ url: String, _ wrong: String) {
    let refusal = #expect(throws: Refusal.self) { try destination(url) }
    #expect(refusal?.description.hasPrefix("'\(url)'") == true)
    #expect(refusal?.description.hasSuffix(wrong) == true, "\(refusal?.description ?? "")")
  }

  @Test func readsTheConfiguration() {
    var configuration = WatchConfiguration()
    let mistakes = WatchConfigurationFile.apply(
      """
      push-pyroscope = http://10.0.0.1:4040
      push-parca = http://10.0.0.2
      push-token-file = /etc/leaktrace/push-token
      push-tenant = team-a
      push-label = region=eu west
      push-label = rack=7
      """, to: &configuration)
    #expect(mistakes.isEmpty)
    #expect(configuration.push.destinations.map(\.url) == ["http://10.0.0.1:4040", "http://10.0.0.2"])
    #expect(configuration.push.destinations.map(\.service) == [.pyroscope, .parca])
    #expect(configuration.push.tokenFile == "/etc/leaktrace/push-token")
    #expect(configuration.push.tenant == "team-a")
    #expect(configuration.push.labels == [.init(name: "region", value: "eu west"), .init(name: "rack", value: "7")])
    let wrong = WatchConfigurationFile.apply(
      "push-pyroscope = https://a\npush-tenant = a/b\npush-label = instance=x\npush-label = 7=x\npush-label = a=b,c\n",
      to: &configuration)
    #expect(wrong.map(\.line) == [1, 2, 3, 4, 5])
    // The command line turns off what the file has on.
    #expect(WatchConfigurationFile.apply(key: "push-parca", value: "off", to: &configuration).isEmpty)
    #expect(configuration.push.destinations.map(\.service) == [.pyroscope])
  }

  // MARK: Requests

  private static let origin = PushedProfile.Origin(
    host: "web-1", command: "php-fpm: pool{a}", reason: "growth", labels: [PushLabel(name: "region", value: "eu west")],
    start: 1_700_000_000.25, end: 1_700_000_010.75)

  @Test func asksPyroscope() throws {
    let request = PushedProfile([1, 2, 3], of: Self.origin, to: try destination("http://10.0.0.1/prefix"))
    #expect(
      request.path
        == "/prefix/ingest?name=php-fpm__pool_a_%7Bjob%3Dleaktrace%2Cinstance%3Dweb-1%2Creason%3Dgrowth%2Cregion%3Deu%20west%7D"
        + "&from=1700000000&until=1700000011&format=pprof&spyName=leaktrace")
    #expect(request.body == [1, 2, 3])
    #expect(request.contentType == "application/octet-stream")
  }

  @Test func asksParca() throws {
    let request = PushedProfile([0xfb, 0xff, 3, 4], of: Self.origin, to: try destination("http://10.0.0.1", .parca))
    #expect(request.path == "/api/profiles/writeraw")
    #expect(request.contentType == "application/json")
    #expect(
      String(decoding: request.body, as: UTF8.self)
        == #"{"series":[{"labels":{"labels":[{"name":"__name__","value":"memory"},"#
        + #"{"name":"comm","value":"php-fpm: pool{a}"},{"name":"job","value":"leaktrace"},"#
        + #"{"name":"instance","value":"web-1"},{"name":"reason","value":"growth"},"#
        + #"{"name":"region","value":"eu west"}]},"samples":[{"rawProfile":"+/8DBA=="}]}]}"#)
  }

  // MARK: Sending

  private static let limits = {
    var limits = ProfilePusher.Limits()
    limits.firstDelay = .milliseconds(20)
    limits.longestDelay = .milliseconds(40)
    limits.timeout = .milliseconds(500)
    return limits
  }()

  private func pusher(_ port: Int, token: String? = nil, _ limits: ProfilePusher.Limits = limits) throws
    -> ProfilePusher
  {
    try ProfilePusher(
      address: "127.0.0.1", port: port, host: "localhost:\(port)",
      headers: token.map { [("authorization", "Bearer \($0)"), ("x-scope-orgid", "team-a")] } ?? [], limits: limits)
  }

  private func request(_ profile: [UInt8], port: Int, _ service: PushService = .pyroscope) throws
    -> ProfilePusher.Request
  {
    let pushed = PushedProfile(profile, of: Self.origin, to: try destination("http://127.0.0.1:\(port)", service))
    return .init(path: pushed.path, contentType: pushed.contentType, body: pushed.body)
  }

  private static let profile: [UInt8] = {
    var report = Report(
      target: Report.Target(kind: .process, processID: 42, command: "worker", executable: "/opt/worker"),
      window: Report.Window(startInUnixSeconds: 1_700_000_000, duration: .seconds(10)))
    let frames = ["allocate", "serve", "main"].enumerated().map { place, name in
      Frame(
        address: 0x5555_0000_1000 + UInt64(place) * 16, function: name, functionOffset: 4, module: "/opt/worker",
        moduleOffset: 0x1000 + UInt64(place) * 16, file: "worker.c", line: place + 10)
    }
    report.sites = [
      AllocationSite(
        processID: 42, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: 3_000_000, count: 30),
        allocated: Tally(bytes: 4_000_000, count: 40), freed: Tally(bytes: 1_000_000, count: 10),
        stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames)
    ]
    return PprofReport.renderForOthers(report)
  }()

  /// What arrives is what `go tool pprof` reads, from both services.
  @Test(arguments: PushService.all)
  func arrives(_ service: PushService) throws {
    let receiver = try ProfileReceiver(token: "secret")
    let pusher = try pusher(receiver.port, token: "secret")
    let request = try request(Self.profile, port: receiver.port, service)
    pusher.send(request)
    let received = try #require(receiver.next())
    #expect(received.service == service.name)
    #expect((received.status, received.error) == (200, ""))
    #expect(received.headers["x-scope-orgid"] == "team-a")
    #expect(received.headers["host"] == "localhost:\(receiver.port)")
    #expect(received.labels["instance"] == "web-1")
    #expect(received.labels["region"] == "eu west")
    #expect(received.labels[service == .parca ? "comm" : "service_name"] != nil)
    #expect(contents(of: received.file) == Self.profile)
    #expect(eventually { pusher.counters.sent == 1 })
    pusher.stop(patience: .zero)
    #expect(pusher.counters.sentBytes == UInt64(request.body.count))
    #expect(pusher.counters.failed.isEmpty)
    let go = "/usr/lib/go-1.19/bin/go"
    guard access(go, X_OK) == 0 else {
      print("skipped: go is not installed")
      return
    }
    setenv("HOME", getenv("HOME").map { String(cString: $0) } ?? "/tmp", 0)
    let top = try run([go, "tool", "pprof", "-top", "-unit=B", "-sample_index=inuse_space", received.file])
    #expect(top.contains("Type: inuse_space"))
    #expect(top.contains("3000000B   100%   100%   3000000B   100%  allocate"), "\(top)")
  }

  @Test func triesAgainWhatMayGoBetter() throws {
    let receiver = try ProfileReceiver(statuses: [503, 0, 429])
    let pusher = try pusher(receiver.port)
    pusher.send(try request(Self.profile, port: receiver.port))
    let statuses = (0..<4).map { _ in receiver.next()?.status }
    #expect(statuses == [503, 0, 429, 200])
    #expect(eventually { pusher.counters.sent == 1 })
    pusher.stop(patience: .zero)
    #expect(pusher.counters.retries == 3)
    #expect(pusher.counters.failed.isEmpty)
    #expect(pusher.counters.trouble == nil)
  }

  @Test func givesUpWhatNeverGoesBetter() throws {
    let receiver = try ProfileReceiver(statuses: [400])
    let pusher = try pusher(receiver.port)
    pusher.send(try request(Self.profile, port: receiver.port))
    #expect(receiver.next()?.status == 400)
    #expect(eventually { pusher.counters.failed == [.refused: 1] })
    #expect(pusher.counters.retries == 0)
    #expect(pusher.counters.trouble == "status 400 Bad Request: scripted")
    // The next one is sent as if nothing had been.
    pusher.send(try request(Self.profile, port: receiver.port))
    #expect(receiver.next()?.status == 200)
    #expect(eventually { pusher.counters.sent == 1 && pusher.counters.trouble == nil })
    pusher.stop(patience: .zero)
  }

  @Test func givesUpAfterItsAttempts() throws {
    let receiver = try ProfileReceiver(statuses: [-1, 500, 500, 500, 500])
    let pusher = try pusher(receiver.port)
    pusher.send(try request(Self.profile, port: receiver.port))
    #expect(eventually { pusher.counters.failed == [.service: 1] })
    pusher.stop(patience: .zero)
    #expect(pusher.counters.retries == 4)
    #expect(pusher.counters.trouble == "status 500 Internal Server Error: scripted")
  }

  @Test func waitsForNobodyAndKeepsLittle() throws {
    // Nobody listens at a port that was just closed.
    let port = try ProfileReceiver().port
    var limits = Self.limits
    limits.profiles = 3
    limits.attempts = 2
    limits.firstDelay = .milliseconds(400)
    limits.longestDelay = .milliseconds(400)
    let pusher = try pusher(port, limits)
    let start = ContinuousClock.now
    for _ in 0..<10 { pusher.send(try request(Self.profile, port: port)) }
    #expect(ContinuousClock.now - start < .milliseconds(150))
    #expect(pusher.counters.waiting <= 3)
    // One is being sent at once or waits like the rest.
    let overflown = pusher.counters.failed[.overflow] ?? 0
    #expect(overflown == 6 || overflown == 7)
    #expect(eventually { pusher.counters.failed[.connection] == 10 - overflown })
    #expect(pusher.counters.trouble?.contains("refused") == true, "\(pusher.counters.trouble ?? "")")
    #expect(pusher.counters.retries == 10 - overflown)
    pusher.send(try request(Self.profile, port: port))
    pusher.stop(patience: .zero)
    #expect(pusher.counters.failed[.ended] == 1)
    #expect(pusher.counters.waiting == 0)
  }
}
