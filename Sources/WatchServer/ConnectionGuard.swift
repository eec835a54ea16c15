import Glibc
import NIOCore

/// Stands between the socket of one connection and everything else: admits the connection, and ends it when a request is
/// too long or does not come in time, or when an answer is not taken in time.
final class ConnectionGuard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private enum Phase {
    /// The next request has not begun.
    case waiting
    case reading
    case answering
  }

  private let limits: ServerLimits
  private let table: ConnectionTable
  private var phase = Phase.waiting
  private var bytesOfRequest = 0
  private var deadline: Scheduled<Void>?

  init(limits: ServerLimits, table: ConnectionTable) {
    self.limits = limits
    self.table = table
  }

  func channelActive(context: ChannelHandlerContext) {
    guard table.admit(context.channel) else { return context.close(promise: nil) }
    phase = .reading
    close(context.channel, after: limits.requestTime)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    table.remove(context.channel)
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if phase == .waiting {
      phase = .reading
      close(context.channel, after: limits.requestTime)
    }
    bytesOfRequest += unwrapInboundIn(data).readableBytes
    // While an answer is under way nothing more is read than what came together with its request.
    guard bytesOfRequest <= limits.requestBytes else { return Self.abort(context.channel) }
    context.fireChannelRead(data)
  }

  // MARK: What the handler of requests tells

  /// A request is complete.
  func requestEnded(on channel: any Channel) {
    phase = .answering
    bytesOfRequest = 0
    deadline?.cancel()
  }

  /// The answer needs work that takes at most so long.
  func answerTakes(_ time: TimeAmount, on channel: any Channel) {
    table.note(.profiling, of: channel)
    close(channel, after: time)
  }

  /// The answer is being given to the socket.
  func answerBegins(bytes: Int, on channel: any Channel) {
    table.note(.idle, of: channel)
    close(channel, after: limits.answerTime + .seconds(Int64(bytes / limits.answerBytesPerSecond)))
  }

  /// The kernel has taken all of the answer.
  func answerEnded(on channel: any Channel) {
    phase = .waiting
    close(channel, after: limits.idleTime)
  }

  /// Ends a connection at once: what its client has not taken does not stay in the kernel.
  static func abort(_ channel: any Channel) {
    guard let socket = channel as? any SocketOptionProvider else { return channel.close(promise: nil) }
    socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in channel.close(promise: nil) }
  }

  private func close(_ channel: any Channel, after time: TimeAmount) {
    deadline?.cancel()
    deadline = channel.eventLoop.scheduleTask(in: time) { Self.abort(channel) }
  }
}
