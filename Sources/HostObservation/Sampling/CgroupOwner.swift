/// Who a control group belongs to, read from its path: a systemd unit, or a container.
package struct CgroupOwner: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable { case unit, container }
  package var kind: Kind
  /// `nginx.service`; for a container the first 12 digits of its id, as its tools show it.
  package var name: String

  /// The innermost owner that the path names; nil for a group that belongs to no unit or container.
  package init?(path: String) {
    for part in path.split(separator: "/").reversed() {
      if let identifier = Self.containerID(String(part)) {
        kind = .container
        name = String(identifier.prefix(12))
        return
      }
      if part.hasSuffix(".service") || part.hasSuffix(".scope") || part.hasSuffix(".socket") {
        kind = .unit
        name = Self.unescaped(String(part))
        return
      }
    }
    return nil
  }

  /// Ids of 64 hexadecimal digits, which Docker, containerd, CRI-O and Podman put behind different words.
  private static func containerID(_ part: String) -> String? {
    var text = part[...]
    if text.hasSuffix(".scope") { text = text.dropLast(6) }
    for word in ["docker-", "cri-containerd-", "crio-", "libpod-"] where text.hasPrefix(word) {
      text = text.dropFirst(word.utf8.count)
      break
    }
    let isIdentifier =
      text.utf8.count == 64
      && text.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
      }
    return isIdentifier ? String(text) : nil
  }

  /// systemd writes unusual bytes of a name as `\x2d`.
  private static func unescaped(_ name: String) -> String {
    guard name.utf8.contains(0x5c) else { return name }
    let bytes = Array(name.utf8)
    var result: [UInt8] = []
    var place = 0
    while place < bytes.count {
      if bytes[place] == 0x5c, place + 3 < bytes.count, bytes[place + 1] == 0x78,
        let value = UInt8(String(decoding: bytes[(place + 2)...(place + 3)], as: UTF8.self), radix: 16)
      {
        result.append(value)
        place += 4
      } else {
        result.append(bytes[place])
        place += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
