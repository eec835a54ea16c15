import NIOCore
import NIOHTTP1

/// Answers the requests of one connection, one after the other: a request is looked at when the kernel has taken all of the
/// answer to the one before it, so that a client that only sends makes nothing grow here.
final class RequestHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let state: WatchServer.SharedState
  private let limits: ServerLimits
  private let connection: ConnectionGuard
  /// Whether the connection came over the Unix socket, which only the owner of the watch can open.
  private let isLocal: Bool
  private var head: HTTPRequestHead?
  private var requests = 0

  init(state: WatchServer.SharedState, limits: ServerLimits, connection: ConnectionGuard, isLocal: Bool) {
    self.state = state
    self.limits = limits
    self.connection = connection
    self.isLocal = isLocal
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // Nothing here takes a body. Not to read it is the surest way to bound it.
      if head.headers.contains(name: "transfer-encoding")
        || !["0", nil].contains(head.headers.first(name: "content-length"))
      {
        connection.requestEnded(on: context.channel)
        requests = limits.requestsPerConnection
        return respond(context, head, .payloadTooLarge, "no request has a body here\n")
      }
      self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      self.head = nil
      connection.requestEnded(on: context.channel)
      requests += 1
      answer(head, context)
    }
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let (token, hosts) = state.value.withLock { ($0.token, $0.hosts) }
    guard isLocal || hosts.allows(head.headers["host"], at: context.localAddress) else {
      return respond(
        context, head, .misdirectedRequest,
        "the Host header names another server: allow its name by host-name in the configuration\n")
    }
    let parts = head.uri.split(separator: "?", maxSplits: 1).map(String.init)
    let path = parts.first ?? ""
    guard path.hasPrefix("/") else { return respond(context, head, .badRequest, "the target is no path\n") }
    guard head.method == .GET || head.method == .HEAD else {
      return respond(context, head, .methodNotAllowed, "only GET is answered\n", more: [("allow", "GET, HEAD")])
    }
    if path == "/healthz" {
      let trouble = state.trouble(turnTime: limits.turnTime)
      return respond(context, head, trouble == nil ? .ok : .serviceUnavailable, (trouble ?? "ok") + "\n")
    }
    guard isLocal || token == nil || hasToken(head, token ?? []) else {
      return respond(context, head, .unauthorized, "a bearer token is needed\n", more: [("www-authenticate", "Bearer")])
    }
    switch path {
    case "/metrics":
      let metrics = state.value.withLock { $0.metrics }
      let accepts = head.headers["accept"].joined(separator: ",")
      // Who does not ask for OpenMetrics, as Prometheus does, may only know the older format.
      if accepts.contains("application/openmetrics-text") {
        respond(context, head, .ok, metrics, type: "application/openmetrics-text; version=1.0.0; charset=utf-8")
      } else {
        let text = PrometheusText.document(fromOpenMetrics: metrics)
        respond(context, head, .ok, text, type: "text/plain; version=0.0.4; charset=utf-8")
      }
    case "/profile":
      // A profile shows the inside of other users' programs, and taking one costs the watch its budget.
      guard isLocal || token != nil else {
        return respond(
          context, head, .forbidden,
          "a profile is given over the Unix socket, or to whoever has the token of token-file\n")
      }
      guard head.method == .GET else {
        return respond(context, head, .methodNotAllowed, "a profile is taken by GET\n", more: [("allow", "GET")])
      }
      profile(head, parts.count > 1 ? parts[1] : "", context)
    case "/": respond(context, head, .ok, "leaktrace watch: /metrics /healthz /profile?seconds=N&pid=N\n")
    default: respond(context, head, .notFound, "there is /metrics, /healthz and /profile?seconds=N\n")
    }
  }

  private func hasToken(_ head: HTTPRequestHead, _ token: [UInt8]) -> Bool {
    let prefix = Array("bearer ".utf8)
    let fields = head.headers["authorization"]
    guard fields.count == 1 else { return false }
    let given = Array(fields[0].utf8)
    guard given.count > prefix.count, zip(given, prefix).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) else { return false }
    return Self.isSame(given[prefix.count...], as: token)
  }

  /// Takes as long for a wrong first byte as for a wrong last one, so that the time tells nothing of the token.
  static func isSame(_ given: ArraySlice<UInt8>, as token: [UInt8]) -> Bool {
    var difference = UInt8(given.count == token.count && !token.isEmpty ? 0 : 1)
    for (index, byte) in given.enumerated() { difference |= byte ^ (token.isEmpty ? 0xff : token[index % token.count]) }
    return difference == 0
  }

  // MARK: Profiles

  private func profile(_ head: HTTPRequestHead, _ query: String, _ context: ChannelHandlerContext) {
    var seconds = 10.0
    var processID: Int32?
    for part in query.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1)
      switch (pair.first, pair.count == 2 ? pair[1] : "") {
      case ("seconds", let value):
        guard let number = Double(value), number >= 1, number <= 300 else {
          return respond(context, head, .badRequest, "seconds must be from 1 to 300\n")
        }
        seconds = number
      case ("pid", let value):
        guard let number = Int32(value), number > 0 else {
          return respond(context, head, .badRequest, "pid is no process id\n")
        }
        processID = number
      default: return respond(context, head, .badRequest, "there is seconds=N and pid=N\n")
      }
    }
    let state = state
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    let request = WatchServer.ProfileRequest(seconds: seconds, processID: processID) { result in
      state.value.withLock { $0.isProfiling = false }
      eventLoop.execute {
        let (handler, context) = bound.value
        switch result {
        case .success(let profile):
          handler.respond(
            context, head, .ok, bytes: profile, type: "application/octet-stream",
            more: [("content-disposition", "attachment; filename=\"leaktrace.pb.gz\"")])
        case .failure(let refusal): handler.respond(context, head, .serviceUnavailable, refusal.text + "\n")
        }
      }
    }
    let isTaken = state.value.withLock { state in
      if state.isProfiling { return false }
      state.isProfiling = true
      state.requests.append(request)
      return true
    }
    guard isTaken else { return respond(context, head, .tooManyRequests, "a profile is being taken\n") }
    connection.answerTakes(.milliseconds(Int64(seconds * 1000)) + limits.profileTime, on: context.channel)
    state.wake()
  }

  // MARK: Responses

  private func respond(
    _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ status: HTTPResponseStatus, _ text: String,
    type: String = "text/plain; charset=utf-8", more: [(String, String)] = []
  ) {
    respond(context, head, status, bytes: Array(text.utf8), type: type, more: more)
  }

  private func respond(
    _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ status: HTTPResponseStatus, bytes: [UInt8],
    type: String, more: [(String, String)] = []
  ) {
    guard context.channel.isActive else { return }
    let isLast = !head.isKeepAlive || requests >= limits.requestsPerConnection
    var headers = HTTPHeaders([
      ("content-type", type), ("content-length", String(bytes.count)), ("cache-control", "no-store"),
      ("x-content-type-options", "nosniff"),
    ])
    for (name, value) in more { headers.add(name: name, value: value) }
    if isLast { headers.add(name: "connection", value: "close") }
    connection.answerBegins(bytes: bytes.count, on: context.channel)
    let responseHead = HTTPResponseHead(version: head.version, status: status, headers: headers)
    let hasBody = head.method != .HEAD
    let taken = context.eventLoop.makePromise(of: Void.self)
    context.write(wrapOutboundOut(.head(responseHead)), promise: hasBody ? nil : taken)
    if hasBody {
      var buffer = context.channel.allocator.buffer(capacity: bytes.count)
      buffer.writeBytes(bytes)
      context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: taken)
    }
    context.flush()
    // The end of the answer makes the next request of the connection come, and not before the client has taken this one.
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    taken.futureResult.whenComplete { result in
      let (handler, context) = bound.value
      guard case .success = result, !isLast else { return context.close(promise: nil) }
      handler.connection.answerEnded(on: context.channel)
      context.writeAndFlush(handler.wrapOutboundOut(.end(nil)), promise: nil)
    }
  }
}
