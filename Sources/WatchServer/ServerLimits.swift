import NIOCore

/// What clients can take of the server at most. Every one of them may be hostile.
package struct ServerLimits: Sendable {
  /// Connections that are open at the same time, of one listening socket.
  package var connections = 64
  /// Connections from one peer: an address, a /64 network of IPv6, or this host as a whole.
  package var connectionsPerPeer = 16
  /// A connection that sends or reads nothing may be closed in favour of a new one after this time.
  package var grace = TimeAmount.milliseconds(500)
  /// Requests on one connection; the last one's answer ends it.
  package var requestsPerConnection = 100
  /// Bytes of one request, from its first line to the empty line behind its headers.
  package var requestBytes = 16 << 10
  package var headers = 64
  /// From the connection, or from the first byte of a later request, to the end of the request.
  package var requestTime = TimeAmount.seconds(5)
  /// Between an answer and the next request.
  package var idleTime = TimeAmount.seconds(30)
  /// For the client to take an answer: this long, and a second more for so many bytes.
  package var answerTime = TimeAmount.seconds(10)
  package var answerBytesPerSecond = 64 << 10
  /// How long a profile may take beyond the seconds that it was asked for.
  package var profileTime = TimeAmount.seconds(60)
  /// The watch is taken for dead when one turn of its loop lasts longer than this, or a turn comes so much too late.
  package var turnTime = Duration.seconds(15)

  package init() {}
}
