import ProcessImage

/// What the kernel says of a thread in `/proc/TID/status`.
enum ThreadStatus {
  /// A number, by the name of its line; nil where there is none, or no such thread.
  static func number(_ name: String, of thread: Int32) -> UInt64? {
    guard let status = try? readFile("/proc/\(thread)/status") else { return nil }
    let beginning = Array((name + ":").utf8)
    for line in status.split(separator: UInt8(ascii: "\n")) where line.starts(with: beginning) {
      return UInt64(String(decoding: line.dropFirst(beginning.count), as: UTF8.self).filter(\.isNumber))
    }
    return nil
  }
}
