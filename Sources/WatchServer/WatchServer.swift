import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import SystemSupport

/// The HTTP server of a watch: metrics, health and profiles. Runs on one thread of its own and holds nothing of the watch:
/// what it answers is given to it, and what it is asked for is taken from it.
package final class WatchServer: Sendable {
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
    var requests: [ProfileRequest] = []
    var isProfiling = false
    var connections = 0
  }

  static let mostConnections = 32

  private let group: MultiThreadedEventLoopGroup
  private let channel: any Channel
  let state: SharedState

  /// What both threads see.
  final class SharedState: Sendable {
    let value = Mutex(State())
    let wake: @Sendable () -> Void
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }
  }

  /// - Parameters:
  ///   - host: a numeric address: names are not looked up.
  ///   - wake: called when there is a request for a profile.
  package init(host: String, port: Int, token: String?, wake: @escaping @Sendable () -> Void) throws {
    let state = SharedState(wake: wake)
    state.value.withLock { $0.token = token.map { Array($0.utf8) } }
    self.state = state
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let address = try SocketAddress(ipAddress: host, port: port)
    do {
      channel = try ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 64)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              IdleStateHandler(readTimeout: .seconds(330), writeTimeout: .seconds(30)))
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
            try channel.pipeline.syncOperations.addHandler(RequestHandler(state: state))
          }
        }
        .bind(to: address).wait()
    } catch {
      try? group.syncShutdownGracefully()
      // The library's own description names its functions.
      if let error = error as? IOError {
        throw Refusal(errorMessage(error.errnoCode))
      }
      throw error
    }
  }

  /// The port that was bound: of use where 0 was asked for.
  package var port: Int { channel.localAddress?.port ?? 0 }

  package func publish(metrics: String, trouble: String?) {
    state.value.withLock { state in
      state.metrics = metrics
      state.trouble = trouble
    }
  }

  package func setToken(_ token: String?) { state.value.withLock { $0.token = token.map { Array($0.utf8) } } }

  /// Requests for profiles since the last call.
  package func takeRequests() -> [ProfileRequest] {
    state.value.withLock { state in
      defer { state.requests = [] }
      return state.requests
    }
  }

  package func stop() {
    try? channel.close().wait()
    try? group.syncShutdownGracefully()
  }
}
