import Glibc
import SystemSupport

/// A service that stores profiles, and where it listens.
package struct PushDestination: Hashable, Sendable {
  package var service: PushService
  /// As it was given, without a slash at its end.
  package var url: String
  /// Numeric.
  package var address: String
  package var port: Int
  /// What the `Host` header says.
  package var host: String
  /// What comes before the service's own path; empty, or with a slash before it.
  package var pathPrefix: String

  /// `http://HOST[:PORT][/PREFIX]`. A host is a numeric address, or a name that the table of hosts has: a static program
  /// has no resolver.
  ///
  /// - Parameter hosts: the text of /etc/hosts.
  package init(_ service: PushService, url: String, hosts: @autoclosure () -> String) throws(Refusal) {
    if url.hasPrefix("https://") {
      throw Refusal("'\(url)': TLS is left to a proxy or agent on this host, give its http:// address")
    }
    let scheme = "http://"
    guard url.hasPrefix(scheme) else { throw Refusal("'\(url)' does not begin with http://") }
    guard !url.contains(where: { $0 == "?" || $0 == "#" || $0 == "@" }), url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else { throw Refusal("'\(url)': there can be a host, a port and a path, and nothing else") }
    let rest = url.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != "/" }
    var path = rest.dropFirst(authority.count)
    while path.hasSuffix("/") { path = path.dropLast() }
    var host = authority
    var port = service.defaultPort
    if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
      host = authority[..<colon]
      guard let number = Int(authority[authority.index(after: colon)...]), (1...65535).contains(number) else {
        throw Refusal("'\(url)': '\(authority[authority.index(after: colon)...])' is no port")
      }
      port = number
    }
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      throw Refusal("'\(url)': an IPv6 address is written in brackets")
    }
    guard !host.isEmpty else { throw Refusal("'\(url)' names no host") }
    guard let address = Self.isNumeric(String(host)) ? String(host) : Self.address(of: String(host), in: hosts()) else {
      throw Refusal(
        "'\(url)': '\(host)' is neither a numeric address nor in /etc/hosts, and no other names are looked up")
    }
    self.service = service
    self.url = scheme + authority + path
    self.address = address
    self.port = port
    self.host = String(authority)
    pathPrefix = String(path)
  }

  static func isNumeric(_ text: String) -> Bool {
    var bytes = in6_addr()
    return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1
  }

  /// hosts(5): an address and its names a line. The name of this host itself is always known.
  private static func address(of name: String, in hosts: String) -> String? {
    for line in hosts.split(separator: "\n") {
      let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }
      guard let address = words.first, isNumeric(String(address)) else { continue }
      if words.dropFirst().contains(where: { $0.lowercased() == name.lowercased() }) { return String(address) }
    }
    return name.lowercased() == "localhost" ? "127.0.0.1" : nil
  }
}
