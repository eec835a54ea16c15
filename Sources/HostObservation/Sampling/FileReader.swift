import Glibc

/// Reads small files into one buffer that is used again and again.
package final class FileReader {
  private var buffer: UnsafeMutableRawBufferPointer
  private static let greatest = 64 << 20

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
