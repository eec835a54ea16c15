import Glibc

/// Reads small files into one buffer that is used again and again.
package final class FileReader {
  private var buffer: UnsafeMutableRawBufferPointer
  /// The largest file that is read as a whole. The buffer stays as large as the largest one was.
  private static let greatest = 8 << 20

  package init() { buffer = .allocate(byteCount: 32 << 10, alignment: 16) }

  deinit { buffer.deallocate() }

  /// Calls `body` with all of a file; nil where it cannot be read.
  package func read<Result>(_ path: String, _ body: (Bytes) -> Result) -> Result? {
    let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var filled = 0
    while true {
      if filled == buffer.count {
        guard filled < Self.greatest else { return nil }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 4, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
        buffer.deallocate()
        buffer = larger
      }
      let count = Glibc.read(descriptor, buffer.baseAddress! + filled, buffer.count - filled)
      if count < 0, errno == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { break }
      filled += count
    }
    return body(Bytes(rebasing: UnsafeRawBufferPointer(buffer)[..<filled]))
  }

  /// Calls `body` with the lines of a file, some at a time, so that it takes no memory however long it is.
  ///
  /// - Parameter limit: so many bytes at most are read.
  /// - Returns: whether that was all; nil where the file cannot be read.
  package func readLines(of path: String, atMost limit: Int, _ body: (Bytes) -> Void) -> Bool? {
    let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var filled = 0
    var left = limit
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress! + filled, buffer.count - filled)
      if count < 0, errno == EINTR { continue }
      if count < 0 { return nil }
      filled += count
      left -= count
      let bytes = UnsafeRawBufferPointer(buffer)[..<filled]
      if count == 0 {
        body(Bytes(rebasing: bytes))
        return true
      }
      guard left > 0 else { return false }
      // A line that is longer than the buffer comes in parts.
      let end = bytes.lastIndex(of: 0x0a).map { $0 + 1 } ?? (filled == buffer.count ? filled : 0)
      if end > 0 { body(Bytes(rebasing: bytes[..<end])) }
      memmove(buffer.baseAddress!, buffer.baseAddress! + end, filled - end)
      filled -= end
    }
  }

  package func text(_ path: String) -> String? { read(path) { String(decoding: $0, as: UTF8.self) } }
}

/// Names in a directory without `.` and `..`, in no order; empty where it cannot be read.
package func directoryEntries(_ path: String) -> [String] {
  guard let directory = opendir(path) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}
