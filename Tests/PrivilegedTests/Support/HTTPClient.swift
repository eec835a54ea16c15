import Glibc
import TestTools

/// One GET request to a server on this host.
struct HTTPResponse {
  var status: Int
  var head: String
  var body: [UInt8]
  var text: String { String(decoding: body, as: UTF8.self) }

  static func get(_ path: String, port: Int, headers: [String] = [], method: String = "GET") throws -> HTTPResponse {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw ToolFailure(command: path, status: errno, output: "connect") }
    var patience = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    let lines = ["\(method) \(path) HTTP/1.1", "Host: localhost", "Connection: close"] + headers
    let request = lines.joined(separator: "\r\n") + "\r\n\r\n"
    _ = write(descriptor, request, request.utf8.count)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 { break }
      bytes += buffer[..<count]
    }
    let end: [UInt8] = [13, 10, 13, 10]
    guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
      throw ToolFailure(command: path, status: 0, output: "no response")
    }
    let head = String(decoding: bytes[..<place], as: UTF8.self)
    let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return HTTPResponse(status: status, head: head, body: Array(bytes[(place + 4)...]))
  }
}
