import Glibc
import NIOCore

/// An address of IP version 4 or 6. What version 6 makes of a version 4 address counts as that.
struct NumericAddress: Hashable {
  let bytes: [UInt8]

  var isVersion6: Bool { bytes.count == 16 }
  var isLoopback: Bool { isVersion6 ? bytes == Array(repeating: 0, count: 15) + [1] : bytes[0] == 127 }

  private init(bytes: [UInt8]) {
    let mapped: [UInt8] = Array(repeating: 0, count: 10) + [0xff, 0xff]
    self.bytes = bytes.count == 16 && bytes.starts(with: mapped) ? Array(bytes[12...]) : bytes
  }

  /// nil for a Unix socket.
  init?(_ address: SocketAddress) {
    switch address {
    case .v4(let address):
      var inner = address.address.sin_addr
      self.init(bytes: withUnsafeBytes(of: &inner) { Array($0) })
    case .v6(let address):
      var inner = address.address.sin6_addr
      self.init(bytes: withUnsafeBytes(of: &inner) { Array($0) })
    case .unixDomainSocket: return nil
    }
  }

  /// From `127.0.0.1` or `::1`; nil for a name.
  init?(_ text: String) {
    var (four, six) = (in_addr(), in6_addr())
    if inet_pton(AF_INET, text, &four) == 1 {
      self.init(bytes: withUnsafeBytes(of: &four) { Array($0) })
    } else if inet_pton(AF_INET6, text, &six) == 1 {
      self.init(bytes: withUnsafeBytes(of: &six) { Array($0) })
    } else {
      return nil
    }
  }
}
