import Glibc
import NIOCore
import NIOHTTP1

/// Why a profile did not arrive.
package struct PushFailure: Error, Hashable, Sendable {
  package enum Cause: String, Hashable, Sendable, CaseIterable {
    /// Nobody listens there, or the connection broke.
    case connection
    case timeout
    /// The service does not take it (4xx): trying again would not help.
    case refused
    /// The service is in trouble or has too much to do (5xx, 408, 429).
    case service
    /// Too many profiles waited to be sent.
    case overflow
    /// The watch ended before the profile was sent.
    case ended
  }

  package var cause: Cause
  package var text: String
  /// How long the service asks us to wait before the next request.
  var delay: TimeAmount?

  init(_ cause: Cause, _ text: String, delay: TimeAmount? = nil) {
    self.cause = cause
    self.text = text
    self.delay = delay
  }

  /// Whether another attempt may succeed.
  var isPassing: Bool { cause != .refused }
}

/// The answer of a service to a profile.
struct PushAnswer: Sendable {
  var status: HTTPResponseStatus
  var retryAfter: TimeAmount?
  /// The beginning of the body.
  var text: String

  /// nil where the profile was taken.
  var failure: PushFailure? {
    guard !(200..<300).contains(status.code) else { return nil }
    let isPassing = status.code >= 500 || status == .tooManyRequests || status == .requestTimeout
    let said = text.split(separator: "\n").first.map { ": \($0)" } ?? ""
    return PushFailure(
      isPassing ? .service : .refused, "status \(status.code) \(status.reasonPhrase)\(said)", delay: retryAfter)
  }
}

/// Reads one answer.
final class PushAnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let promise: EventLoopPromise<PushAnswer>
  private var head: HTTPResponseHead?
  private var text: [UInt8] = []
  private static let longestText = 200

  init(_ promise: EventLoopPromise<PushAnswer>) { self.promise = promise }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body(var buffer):
      let wanted = min(Self.longestText - text.count, buffer.readableBytes)
      text += buffer.readBytes(length: wanted) ?? []
    case .end:
      guard let head else { return }
      let seconds = head.headers.first(name: "retry-after").flatMap { Int64($0) }
      promise.succeed(
        PushAnswer(
          status: head.status, retryAfter: seconds.map { .seconds(max(0, min($0, 3600))) },
          text: String(decoding: text, as: UTF8.self)))
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise.fail(PushFailure(.connection, "\(error)"))
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    promise.fail(PushFailure(.connection, "the connection was closed before an answer"))
    context.fireChannelInactive()
  }
}

/// Lets others run while a thread that may wait does so.
func sleepForAMoment() { usleep(10_000) }
