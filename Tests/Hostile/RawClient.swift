import Glibc

/// A connection on which a test sends whatever it likes.
final class RawClient {
  private let descriptor: Int32

  init?(port: Int) {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    // A small window, so that an answer that is not read soon stays with the server.
    var size: Int32 = 4096
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    guard Self.connects(descriptor, &address) else { return nil }
    self.descriptor = descriptor
  }

  init?(socket path: String) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard Self.connects(descriptor, &address) else { return nil }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  private static func connects<Address>(_ descriptor: Int32, _ address: inout Address) -> Bool {
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
      }
    }
    if status != 0 { close(descriptor) }
    return status == 0
  }

  /// Sends as much as goes without waiting. Returns how many bytes that was; −1 when the connection has ended.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Int {
    let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    return count < 0 && errno == EAGAIN ? 0 : count
  }

  @discardableResult
  func send(_ text: String) -> Int { send(Array(text.utf8)) }

  /// Whether the server has ended the connection; reads and drops what it has sent.
  var hasEnded: Bool {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 { continue }
      return count == 0 || errno != EAGAIN
    }
  }

  /// Whether the server has ended the connection, without reading what it has sent.
  var isDead: Bool {
    var poller = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&poller, 1, 0) > 0 && poller.revents & Int16(POLLHUP | POLLERR) != 0
  }

  /// All that comes until the server ends the connection, or until nothing has come for so long.
  func readAll(patience seconds: Int = 60) -> [UInt8] {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  /// The status of the answer to one request, and all of its text; 0 if there was none.
  func ask(_ request: String) -> (status: Int, text: String) {
    send(request)
    let text = String(decoding: readAll(), as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0, text)
  }

  func get(_ path: String, host: String = "localhost", headers: [String] = []) -> (status: Int, text: String) {
    let lines = ["GET \(path) HTTP/1.1", "Host: \(host)", "Connection: close"] + headers
    return ask(lines.joined(separator: "\r\n") + "\r\n\r\n")
  }
}
