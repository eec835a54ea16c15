import NIOCore

/// Whether a request is meant for this server. A page in a browser can have its own name lead to this host and then read
/// what the server answers (DNS rebinding); its requests carry that name in their `Host` header.
struct HostCheck: Hashable, Sendable {
  /// Names that the operator has given the server, in lower case.
  var names: Set<String>

  init(names: [String]) { self.names = Set(names.map { $0.lowercased() }) }

  /// - Parameters:
  ///   - hosts: the values of all `Host` headers.
  ///   - local: the address that the client has connected to.
  func allows(_ hosts: [String], at local: SocketAddress?) -> Bool {
    guard hosts.count == 1, let name = Self.name(in: hosts[0]) else { return false }
    if names.contains(name) { return true }
    guard let local = local.flatMap(NumericAddress.init) else { return false }
    if let numeric = NumericAddress(name) { return numeric == local }
    return name == "localhost" && local.isLoopback
  }

  /// The name or address without the port, in lower case; nil for what is no host.
  static func name(in header: String) -> String? {
    var text = Array(header.utf8)
    guard text.count <= 300, text.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
    let isBracketed = text.first == UInt8(ascii: "[")
    let rest: ArraySlice<UInt8>
    if isBracketed {
      guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      rest = text[(end + 1)...]
      text = Array(text[1..<end])
    } else {
      let end = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
      rest = text[end...]
      text = Array(text[..<end])
    }
    if let colon = rest.first {
      guard colon == UInt8(ascii: ":"), rest.count <= 6, rest.dropFirst().allSatisfy({ (48...57).contains($0) }) else {
        return nil
      }
    }
    if !isBracketed, text.last == UInt8(ascii: ".") { text.removeLast() }
    let name = String(decoding: text, as: UTF8.self).lowercased()
    // Only an address of version 6 stands in brackets.
    guard !name.isEmpty, !isBracketed || NumericAddress(name) != nil else { return nil }
    return name
  }
}
