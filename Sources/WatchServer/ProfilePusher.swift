import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Sends profiles to a service over HTTP, on a thread of its own: whoever has one to send never waits. What waits and how
/// often a profile is tried again are bounded; everything that does not arrive is counted.
package final class ProfilePusher: Sendable {
  /// A request, without what all requests have in common.
  package struct Request: Sendable {
    package var path: String
    package var contentType: String
    package var body: [UInt8]
    package init(path: String, contentType: String, body: [UInt8]) {
      self.path = path
      self.contentType = contentType
      self.body = body
    }
  }

  /// What became of the requests so far.
  package struct Counters: Hashable, Sendable {
    package var sent: UInt64 = 0
    /// The bytes of all bodies that arrived.
    package var sentBytes: UInt64 = 0
    /// Requests that failed and were made again.
    package var retries: UInt64 = 0
    /// Profiles that never arrived, by cause.
    package var failed: [PushFailure.Cause: UInt64] = [:]
    package var waiting = 0
    /// What went wrong last; nil since a profile has arrived again.
    package var trouble: String?
    package init() {}
  }

  /// Bounds on what is kept and how long it is tried.
  package struct Limits: Sendable {
    package var profiles = 32
    package var bytes = 8 << 20
    package var attempts = 5
    /// Before the second attempt; it doubles from one to the next.
    package var firstDelay = TimeAmount.seconds(1)
    package var longestDelay = TimeAmount.seconds(60)
    /// For one attempt, from connecting to the end of the answer.
    package var timeout = TimeAmount.seconds(10)
    package init() {}
  }

  private struct State {
    var waiting: [Request] = []
    /// Whether a thread is on its way to send what waits.
    var isBusy = false
    /// Whether a request is being sent, and its outcome is not known yet.
    var hasOneInHand = false
    var isStopped = false
    var headers = HTTPHeaders()
    var counters = Counters()
  }

  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let address: SocketAddress
  private let host: String
  private let limits: Limits
  private let state = Mutex(State())

  /// - Parameters:
  ///   - address: numeric: names are not looked up.
  ///   - host: what the `Host` header says.
  ///   - headers: sent with every request.
  package init(
    address: String, port: Int, host: String, headers: [(String, String)], limits: Limits = Limits()
  ) throws {
    do { self.address = try SocketAddress(ipAddress: address, port: port) } catch {
      try? group.syncShutdownGracefully()
      throw error
    }
    self.host = host
    self.limits = limits
    state.withLock { $0.headers = HTTPHeaders(headers) }
  }

  package var counters: Counters { state.withLock { $0.counters } }

  package func setHeaders(_ headers: [(String, String)]) { state.withLock { $0.headers = HTTPHeaders(headers) } }

  /// Takes a profile to be sent. Where too much waits already the oldest is given up.
  package func send(_ request: Request) {
    let begins = state.withLock { state in
      guard !state.isStopped else { return false }
      state.waiting.append(request)
      while state.waiting.count > 1,
        state.waiting.count > limits.profiles || state.waiting.reduce(0, { $0 + $1.body.count }) > limits.bytes
      {
        state.waiting.removeFirst()
        state.counters.failed[.overflow, default: 0] += 1
      }
      state.counters.waiting = state.waiting.count
      defer { state.isBusy = true }
      return !state.isBusy
    }
    if begins { group.next().execute { self.sendNext() } }
  }

  /// Sends what waits for at most so long, then ends.
  package func stop(patience: Duration) {
    let end = ContinuousClock.now + patience
    while ContinuousClock.now < end, state.withLock({ $0.isBusy }) { sleepForAMoment() }
    state.withLock { state in
      state.isStopped = true
      let unfinished = state.waiting.count + (state.hasOneInHand ? 1 : 0)
      if unfinished > 0 { state.counters.failed[.ended, default: 0] += UInt64(unfinished) }
      state.waiting = []
      state.counters.waiting = 0
    }
    try? group.syncShutdownGracefully()
  }

  // MARK: On the thread of the group

  private func sendNext() {
    let next = state.withLock { state -> Request? in
      state.hasOneInHand = false
      guard !state.isStopped, !state.waiting.isEmpty else {
        state.isBusy = false
        return nil
      }
      state.hasOneInHand = true
      defer { state.counters.waiting = state.waiting.count }
      return state.waiting.removeFirst()
    }
    if let next { attempt(next, number: 1) }
  }

  private func attempt(_ request: Request, number: Int) {
    let loop = group.next()
    let answer = loop.makePromise(of: PushAnswer.self)
    let body = request.body
    var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: request.path)
    head.headers = state.withLock { $0.headers }
    head.headers.add(name: "host", value: host)
    head.headers.add(name: "content-type", value: request.contentType)
    head.headers.add(name: "content-length", value: String(body.count))
    head.headers.add(name: "connection", value: "close")
    let timeout = limits.timeout
    ClientBootstrap(group: loop)
      .connectTimeout(timeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          try channel.pipeline.syncOperations.addHandler(PushAnswerHandler(answer))
        }
      }
      .connect(to: address)
      .whenComplete { [head] result in
        switch result {
        case .failure(let error): answer.fail(PushFailure(.connection, "\(error)"))
        case .success(let channel):
          let late = loop.scheduleTask(in: timeout) {
            answer.fail(PushFailure(.timeout, "no answer within \(timeout.nanoseconds / 1_000_000_000) s"))
            channel.close(promise: nil)
          }
          answer.futureResult.whenComplete { _ in
            late.cancel()
            channel.close(promise: nil)
          }
          var buffer = channel.allocator.buffer(capacity: body.count)
          buffer.writeBytes(body)
          channel.write(HTTPClientRequestPart.head(head), promise: nil)
          channel.write(HTTPClientRequestPart.body(.byteBuffer(buffer)), promise: nil)
          channel.writeAndFlush(HTTPClientRequestPart.end(nil)).whenFailure {
            answer.fail(PushFailure(.connection, "\($0)"))
          }
        }
      }
    answer.futureResult.whenComplete { self.take($0, of: request, number: number) }
  }

  private func take(_ result: Result<PushAnswer, any Error>, of request: Request, number: Int) {
    let failure: PushFailure
    switch result {
    case .success(let answer):
      guard let refusal = answer.failure else {
        state.withLock { state in
          if state.isStopped { return }
          state.counters.sent += 1
          state.counters.sentBytes += UInt64(request.body.count)
          state.counters.trouble = nil
        }
        return sendNext()
      }
      failure = refusal
    case .failure(let error): failure = error as? PushFailure ?? PushFailure(.connection, "\(error)")
    }
    let triesAgain = failure.isPassing && number < limits.attempts
    let isStopped = state.withLock { state in
      if state.isStopped { return true }
      state.counters.trouble = failure.text
      if triesAgain {
        state.counters.retries += 1
      } else {
        state.counters.failed[failure.cause, default: 0] += 1
      }
      return false
    }
    if isStopped { return }
    guard triesAgain else { return sendNext() }
    // Adds some chance, so that hosts that lost the same service do not all come back at once.
    let doubled = limits.firstDelay.nanoseconds << Int64(min(number - 1, 20))
    let wished = min(max(doubled, failure.delay?.nanoseconds ?? 0), limits.longestDelay.nanoseconds)
    let delay = TimeAmount.nanoseconds(wished / 2 + Int64.random(in: 0...max(1, wished / 2)))
    group.next().scheduleTask(in: delay) { self.attempt(request, number: number + 1) }
  }
}
