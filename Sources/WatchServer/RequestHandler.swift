import NIOCore
import NIOHTTP1

/// Answers the requests of one connection.
final class RequestHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let state: WatchServer.SharedState
  private var head: HTTPRequestHead?
  private var isCounted = false

  init(state: WatchServer.SharedState) { self.state = state }

  func channelActive(context: ChannelHandlerContext) {
    let isTooMany = state.value.withLock { state in
      state.connections += 1
      return state.connections > WatchServer.mostConnections
    }
    isCounted = true
    if isTooMany { context.close(promise: nil) }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    if isCounted { state.value.withLock { $0.connections -= 1 } }
    isCounted = false
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      self.head = nil
      answer(head, context)
    }
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let parts = head.uri.split(separator: "?", maxSplits: 1).map(String.init)
    let path = parts.first ?? "/"
    guard head.method == .GET || head.method == .HEAD else {
      return respond(context, head, .methodNotAllowed, "only GET is answered\n", more: [("allow", "GET, HEAD")])
    }
    if path == "/healthz" {
      let trouble = state.value.withLock { $0.trouble }
      return respond(context, head, trouble == nil ? .ok : .serviceUnavailable, (trouble ?? "ok") + "\n")
    }
    guard isAuthorized(head) else {
      return respond(context, head, .unauthorized, "a bearer token is needed\n", more: [("www-authenticate", "Bearer")])
    }
    switch path {
    case "/metrics":
      let metrics = state.value.withLock { $0.metrics }
      let accepts = head.headers["accept"].joined(separator: ",")
      // Readers other than Prometheus may only know the older format, which ours resembles closely enough.
      let type =
        accepts.contains("application/openmetrics-text") || accepts.isEmpty || accepts.contains("*/*")
        ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8"
      respond(context, head, .ok, metrics, type: type)
    case "/profile": profile(head, parts.count > 1 ? parts[1] : "", context)
    case "/": respond(context, head, .ok, "leaktrace watch: /metrics /healthz /profile?seconds=N&pid=N\n")
    default: respond(context, head, .notFound, "there is /metrics, /healthz and /profile?seconds=N\n")
    }
  }

  /// Compares the whole token even when its beginning is wrong, so that the time taken tells nothing about it.
  private func isAuthorized(_ head: HTTPRequestHead) -> Bool {
    guard let token = state.value.withLock({ $0.token }) else { return true }
    let prefix = "Bearer "
    guard let given = head.headers.first(name: "authorization"), given.hasPrefix(prefix) else { return false }
    let bytes = Array(given.dropFirst(prefix.count).utf8)
    var difference = bytes.count ^ token.count
    for place in bytes.indices { difference |= Int(bytes[place] ^ token[place % max(1, token.count)]) }
    return difference == 0 && !token.isEmpty
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
    var headers = HTTPHeaders([("content-type", type), ("content-length", String(bytes.count))])
    for (name, value) in more { headers.add(name: name, value: value) }
    if !head.isKeepAlive { headers.add(name: "connection", value: "close") }
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: headers))), promise: nil)
    if head.method != .HEAD {
      var buffer = context.channel.allocator.buffer(capacity: bytes.count)
      buffer.writeBytes(bytes)
      context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
    }
    let isLast = !head.isKeepAlive
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      if isLast { bound.value.close(promise: nil) }
    }
  }
}
