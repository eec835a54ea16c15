import Glibc
import SystemSupport
import TestTools
import Testing
import TraceModel

@testable import ReportFormats
@testable import WatchServer

/// Clients of the watch's HTTP server that are no friends of it.
struct HTTPTests {
  private func server(
    token: String? = nil, socket: String? = nil, names: [String] = [], metrics: String = "metrics\n",
    _ change: (inout ServerLimits) -> Void = { _ in }
  ) throws -> WatchServer {
    var settings = WatchServer.Settings()
    settings.address = ("127.0.0.1", 0)
    settings.socket = socket
    settings.token = token
    settings.hostNames = names
    change(&settings.limits)
    let server = try WatchServer(settings) {}
    server.publish(metrics: metrics, trouble: nil)
    return server
  }

  private func client(_ server: WatchServer) throws -> RawClient { try #require(RawClient(port: server.port)) }

  // MARK: Who gets what

  @Test func nobodyGetsAProfileAtThePortWithoutAToken() throws {
    let server = try server()
    defer { server.stop() }
    #expect(try client(server).get("/metrics").status == 200)
    #expect(try client(server).get("/profile?seconds=1").status == 403)
    #expect(try client(server).get("/profile?seconds=1", headers: ["Authorization: Bearer "]).status == 403)
    #expect(try client(server).get("//profile?seconds=1").status == 404)
    #expect(server.takeRequests().isEmpty)
  }

  @Test func theTokenIsComparedAsAWhole() throws {
    let server = try server(token: "secret")
    defer { server.stop() }
    for wrong in ["", "s", "secre", "secretsecret", "secret\u{301}", "Secret", "secret x"] {
      #expect(try client(server).get("/metrics", headers: ["Authorization: Bearer \(wrong)"]).status == 401)
    }
    let twice = ["Authorization: Bearer wrong", "Authorization: Bearer secret"]
    #expect(try client(server).get("/metrics", headers: twice).status == 401)
    #expect(try client(server).get("/metrics", headers: ["Authorization: bearer secret"]).status == 200)
    #expect(!RequestHandler.isSame([], as: []))
    #expect(!RequestHandler.isSame([0], as: []))
    #expect(!RequestHandler.isSame([], as: [0]))
  }

  @Test func theOwnersSocketNeedsNoTokenAndIsForNobodyElse() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("run") + "/watch.sock"
    let server = try server(token: "secret", socket: path)
    var status = stat()
    #expect(lstat(path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
    #expect(lstat(directory.file("run"), &status) == 0 && status.st_mode & 0o7777 == 0o700)
    let client = try #require(RawClient(socket: path))
    client.send("GET /profile?seconds=1&pid=7 HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
    var requests: [WatchServer.ProfileRequest] = []
    try #require(
      eventually {
        requests += server.takeRequests()
        return !requests.isEmpty
      })
    #expect(requests[0].processID == 7)
    requests[0].answer(.success(Array("profile".utf8)))
    #expect(String(decoding: client.readAll(), as: UTF8.self).hasSuffix("\r\n\r\nprofile"))
    server.stop()
    #expect(lstat(path, &status) != 0)
  }

  @Test func theSocketTakesTheWayOfNothingElse() throws {
    let directory = try TemporaryDirectory()
    let file = try directory.write("file", "kept")
    #expect(throws: Refusal.self) { try server(socket: file) }
    #expect(contents(of: file) == Array("kept".utf8))
    let link = directory.file("link")
    try #require(symlink(directory.file("elsewhere"), link) == 0)
    #expect(throws: Refusal.self) { try server(socket: link) }
    // A living server keeps its socket, a dead one's is taken over.
    let path = directory.file("socket")
    let first = try server(socket: path)
    #expect(throws: Refusal.self) { try server(socket: path) }
    first.stop()
    let dead = try LocalSocket.bind(path)
    close(dead)
    try server(socket: path).stop()
    let open = directory.file("open")
    try #require(mkdir(open, 0o777) == 0 && chmod(open, 0o777) == 0)
    #expect(throws: Refusal.self) { try server(socket: open + "/socket") }
  }

  @Test(arguments: [
    ("127.0.0.1", 200), ("127.0.0.1:9777", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("localhost.", 200),
    ("db1.example.net:9777", 200), ("evil.example", 421), ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421),
    ("127.0.0.2", 421), ("0.0.0.0", 421), ("[::1]", 421), ("[::ffff:127.0.0.1]", 200), ("10.0.0.1", 421),
    ("localhost:80:80", 421), ("localhost:x", 421), ("user@localhost", 421), ("localhost/", 421), ("[localhost]", 421),
    ("2130706433", 421), ("0x7f.1", 421), ("", 421), (":80", 421), ("localh\u{f6}st", 421),
  ])
  func theHostHeaderHasToNameTheServer(host: String, status: Int) throws {
    let server = try server(names: ["DB1.example.net"])
    defer { server.stop() }
    for path in ["/metrics", "/healthz", "/profile", "/"] {
      let expected = status == 200 && path == "/profile" ? 403 : status
      #expect(try client(server).get(path, host: host).status == expected, "\(path)")
    }
  }

  @Test(arguments: [
    ("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 421), ("GET /metrics HTTP/1.0\r\n\r\n", 421),
    ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n", 421),
    ("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    ("GET http://evil/metrics HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n", 421),
    ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nxx", 413),
    ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    ("DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}", 400), ("GET / HTTP/9.9\r\n\r\n", 400), ("\r\n\r\nx\r\n\r\n", 400),
  ])
  func oddRequestsAreRefused(request: String, status: Int) throws {
    let server = try server()
    defer { server.stop() }
    #expect(try client(server).ask(request).status == status)
    #expect(try client(server).get("/healthz").status == 200)
  }

  // MARK: What clients can take

  @Test func idleConnectionsLockNobodyOut() throws {
    let server = try server { $0.requestTime = .seconds(3600) }
    defer { server.stop() }
    var held: [RawClient] = []
    for _ in 0..<300 { held.append(try client(server)) }
    #expect(try client(server).get("/healthz").status == 200)
    #expect(try client(server).get("/metrics").status == 200)
    #expect(eventually { held.count { !$0.hasEnded } <= ServerLimits().connectionsPerPeer })
  }

  @Test func whoSaysNothingIsSentAway() throws {
    let server = try server {
      $0.requestTime = .milliseconds(200)
      $0.idleTime = .milliseconds(200)
    }
    defer { server.stop() }
    let silent = try client(server)
    let answered = try client(server)
    answered.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(String(decoding: answered.readAll(), as: UTF8.self).hasPrefix("HTTP/1.1 200"))
    #expect(eventually { silent.hasEnded })
  }

  /// One byte after the other, each in time, but never all of them.
  @Test func whoSpeaksSlowlyIsSentAway() throws {
    let server = try server { $0.requestTime = .milliseconds(500) }
    defer { server.stop() }
    let slow = try client(server)
    slow.send("GET / HTTP/1.1\r\nHost: localhost\r\n")
    #expect(
      eventually {
        slow.send("x: y\r\n")
        return slow.hasEnded
      })
    // On a connection that has had an answer, too.
    let later = try client(server)
    later.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nG")
    #expect(
      eventually {
        later.send("E")
        return later.hasEnded
      })
  }

  @Test func whoReadsSlowlyIsSentAway() throws {
    let server = try server(metrics: String(repeating: "x", count: 16 << 20)) {
      $0.answerTime = .milliseconds(300)
      $0.answerBytesPerSecond = 1 << 30
    }
    defer { server.stop() }
    let slow = try client(server)
    slow.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(eventually { slow.isDead })
  }

  /// 100,000 requests whose answers nobody reads: 100 GB if they were all made.
  @Test func whoOnlyAsksMakesNothingGrow() throws {
    let metrics = String(repeating: "x", count: 1 << 20)
    let server = try server(metrics: metrics)
    defer { server.stop() }
    let before = Self.residentBytes
    let greedy = try client(server)
    let requests = Array(String(repeating: "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 1000).utf8)
    for _ in 0..<100 where greedy.send(requests) > 0 {}
    pause(milliseconds: 500)
    // Other tests of this process take memory, too.
    #expect(Self.residentBytes < before + 200 << 20)
    #expect(try client(server).get("/healthz").status == 200)
  }

  @Test func aConnectionHasSoManyRequests() throws {
    let server = try server { $0.requestsPerConnection = 5 }
    defer { server.stop() }
    let busy = try client(server)
    busy.send(String(repeating: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 50))
    let text = String(decoding: busy.readAll(), as: UTF8.self)
    #expect(text.split(separator: "HTTP/1.1 200 OK", omittingEmptySubsequences: false).count - 1 == 5)
    #expect(text.contains("connection: close"))
  }

  @Test func aRequestHasSoManyBytes() throws {
    let server = try server()
    defer { server.stop() }
    let requests = [
      "GET /" + String(repeating: "a", count: 1 << 20) + " HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: localhost\r\nx: " + String(repeating: "a", count: 1 << 20),
      "GET / HTTP/1.1\r\nHost: localhost\r\n" + String(repeating: "x: y\r\n", count: 1000) + "\r\n",
      String(repeating: "a", count: 1 << 20),
    ]
    for request in requests {
      let client = try client(server)
      client.send(request)
      #expect(eventually { client.hasEnded })
    }
    #expect(try client(server).get("/healthz").status == 200)
  }

  private static var residentBytes: Int {
    let words = String(decoding: contents(of: "/proc/self/statm"), as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * 4096 : 0
  }

  // MARK: Health and profiles

  @Test func healthKnowsWhetherTheLoopTurns() throws {
    let server = try server { $0.turnTime = .milliseconds(200) }
    defer { server.stop() }
    #expect(try client(server).get("/healthz").status == 200)
    server.turnBegins()
    #expect(try eventually { try client(server).get("/healthz").status == 503 })
    server.turnEnds(nextWithin: .seconds(3600))
    #expect(try client(server).get("/healthz").status == 200)
    // It should have turned long ago.
    server.turnEnds(nextWithin: .zero)
    #expect(try eventually { try client(server).get("/healthz").status == 503 })
  }

  @Test func aProfileTellsNoAddresses() throws {
    var report = Report(
      target: .init(kind: .process, processID: 7), window: .init(startInUnixSeconds: 0, duration: .zero))
    let frames = [
      Frame(address: 0x7fff_1234_5678, function: "leak", module: "/bin/x", moduleOffset: 0x1678),
      Frame(address: 0x7fff_dead_beef, unresolved: .generatedCode),
    ]
    var site = AllocationSite(
      processID: 7, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: 8, count: 1),
      allocated: Tally(bytes: 8, count: 1), freed: Tally(),
      stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames)
    site.allocations = [OutstandingAllocation(address: 0x7fff_aaaa_0000, sizeInBytes: 8, age: .zero, firstBytes: [1])]
    report.sites = [site]
    let read = try ProfileFile.report(from: PprofReport.render(report.withoutAddresses))
    #expect(read.sites[0].frames.map(\.address) == [0x1678, 0])
    #expect(read.sites[0].frames.map(\.moduleOffset) == [0x1678, nil])
    #expect(read.sites[0].allocations.isEmpty)
    let plain = try #require(Gzip.decompress(PprofReport.render(report.withoutAddresses), limit: 1 << 20))
    let profile = try PprofProfile(plain[...])
    #expect(profile.samples.count == 1)
    #expect(!String(decoding: plain, as: UTF8.self).contains("\(0x7fff_aaaa_0000)"))
  }
}
