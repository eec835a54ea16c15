import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import SystemSupport

/// The HTTP server of a watch: metrics, health and profiles. Runs on one thread of its own and holds nothing of the watch:
/// what it answers is given to it, and what it is asked for is taken from it.
package final class WatchServer: Sendable {
  /// Where the server listens and whom it answers.
  package struct Settings: Sendable {
    /// Numeric, names are not looked up; nil to listen on no port.
    package var address: (host: String, port: Int)?
    /// Path of a Unix socket for the owner of the watch, who is asked for nothing more.
    package var socket: String?
    /// Whether to go on without the socket where it cannot be opened: see ``WatchServer/socketTrouble``.
    package var isSocketOptional = false
    /// What clients of the port have to send as a bearer token. Without one nobody gets a profile there.
    package var token: String?
    /// Names under which clients know this server, beside its address.
    package var hostNames: [String] = []
    package var limits = ServerLimits()

    package init() {}
  }

  /// A profile that somebody waits for.
  package struct ProfileRequest: Sendable {
    package var seconds: Double
    /// nil: the process that grows most.
    package var processID: Int32?
    /// To be called once, from any thread: the profile, or why there is none.
    package var answer: @Sendable (Result<[UInt8], ProfileRefusal>) -> Void
  }

  package struct ProfileRefusal: Error, Sendable {
    package var text: String
    package init(_ text: String) { self.text = text }
  }

  struct State {
    var metrics = ""
    /// Why the watch is not well; nil where it is.
    var trouble: String?
    var token: [UInt8]?
    var hosts = HostCheck(names: [])
    var requests: [ProfileRequest] = []
    var isProfiling = false
    /// When the watch's loop began its turn; nil while it waits for the next one.
    var turnBegan: ContinuousClock.Instant?
    /// When the next turn begins at the latest; nil if that is not known.
    var turnDue: ContinuousClock.Instant?
  }

  private let group: MultiThreadedEventLoopGroup
  private let channels: [any Channel]
  private let boundPort: Int
  private let socketPath: String?
  /// Why there is no Unix socket although there should be one.
  package let socketTrouble: String?
  let state: SharedState

  /// What both threads see.
  final class SharedState: Sendable {
    let value = Mutex(State())
    let wake: @Sendable () -> Void
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    /// Why the watch is not well, by its own word or because its loop does not turn.
    func trouble(turnTime: Duration) -> String? {
      let now = ContinuousClock.now
      return value.withLock { state in
        if let began = state.turnBegan, now - began > turnTime {
          return "the watch has been busy with one thing for \((now - began).components.seconds) s"
        }
        if state.turnBegan == nil, let due = state.turnDue, now - due > turnTime {
          return "the watch should have looked \((now - due).components.seconds) s ago"
        }
        return state.trouble
      }
    }
  }

  /// Listens on the Unix socket and on the port, as far as there are such in the settings.
  ///
  /// - Parameter wake: called when there is a request for a profile.
  package init(_ settings: Settings, wake: @escaping @Sendable () -> Void) throws {
    let state = SharedState(wake: wake)
    state.value.withLock { inner in
      inner.token = settings.token.map { Array($0.utf8) }
      inner.hosts = HostCheck(names: settings.hostNames)
    }
    self.state = state
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var opened: [any Channel] = []
    var (path, trouble): (String?, String?) = (nil, nil)
    do {
      do {
        if let wanted = settings.socket {
          let descriptor = try LocalSocket.bind(wanted)
          path = wanted
          opened.append(
            try Self.bootstrap(group, state, settings.limits, isLocal: true).withBoundSocket(descriptor).wait())
        }
      } catch let refusal as Refusal where settings.isSocketOptional {
        trouble = refusal.description
      }
      if let address = settings.address {
        let place = try SocketAddress(ipAddress: address.host, port: address.port)
        opened.append(try Self.bootstrap(group, state, settings.limits, isLocal: false).bind(to: place).wait())
      }
    } catch {
      try? group.syncShutdownGracefully()
      if let path { unlink(path) }
      // The library's own description names its functions.
      if let error = error as? IOError {
        throw Refusal(errorMessage(error.errnoCode))
      }
      throw error
    }
    channels = opened
    boundPort = settings.address == nil ? 0 : opened.last?.localAddress?.port ?? 0
    socketPath = path
    socketTrouble = trouble
  }

  private static func bootstrap(
    _ group: MultiThreadedEventLoopGroup, _ state: SharedState, _ limits: ServerLimits, isLocal: Bool
  ) -> ServerBootstrap {
    let table = ConnectionTable(limits: limits)
    var decoding = NIOHTTPDecoderLimitConfiguration()
    decoding.maxHeaderFieldSize = limits.requestBytes
    decoding.maxHeaderListSize = limits.requestBytes
    decoding.maxHeaderFieldCount = limits.headers
    return ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: isLocal ? 0 : 1)
      // What one read takes bounds how many requests of a client are known here before they are answered.
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelOption(.socketOption(.so_sndbuf), value: 256 << 10)
      .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
      .childChannelInitializer { [decoding] channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = ConnectionGuard(limits: limits, table: table)
          try channel.pipeline.syncOperations.addHandler(connection)
          try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withPipeliningAssistance: true, withErrorHandling: true, withOutboundHeaderValidation: true,
            withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoding)
          try channel.pipeline.syncOperations.addHandler(
            RequestHandler(state: state, limits: limits, connection: connection, isLocal: isLocal))
        }
      }
  }

  /// The port that was bound: of use where 0 was asked for.
  package var port: Int { boundPort }

  package func publish(metrics: String, trouble: String?) {
    state.value.withLock { state in
      state.metrics = metrics
      state.trouble = trouble
    }
  }

  /// The loop of the watch has begun a turn.
  package func turnBegins() { state.value.withLock { $0.turnBegan = .now } }

  /// The loop of the watch waits now, at most for so long. nil: it is not known for how long.
  package func turnEnds(nextWithin time: Duration?) {
    state.value.withLock { state in
      state.turnBegan = nil
      state.turnDue = time.map { .now + $0 }
    }
  }

  /// Takes effect for the next request.
  package func set(token: String?, hostNames: [String]) {
    state.value.withLock { state in
      state.token = token.map { Array($0.utf8) }
      state.hosts = HostCheck(names: hostNames)
    }
  }

  /// Requests for profiles since the last call.
  package func takeRequests() -> [ProfileRequest] {
    state.value.withLock { state in
      defer { state.requests = [] }
      return state.requests
    }
  }

  package func stop() {
    for channel in channels { try? channel.close().wait() }
    if let socketPath { unlink(socketPath) }
    try? group.syncShutdownGracefully()
  }
}
