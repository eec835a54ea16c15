import Glibc

/// Writes all bytes to a descriptor. Where it does not block and takes no more for the time being, this waits until it does, as a
/// descriptor that blocks would.
///
/// - Returns: 0, or the error number of what made it impossible.
package func writeWhole(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
  bytes.withUnsafeBytes { bytes in
    guard let start = bytes.baseAddress else { return 0 }
    var written = 0
    while written < bytes.count {
      let count = write(descriptor, start + written, bytes.count - written)
      if count >= 0 {
        written += count
        continue
      }
      let code = errno
      if code == EAGAIN {
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&room, 1, -1)
      } else if code != EINTR {
        return code
      }
    }
    return 0
  }
}
