import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

/// Reads the files that hold recordings.
package enum Recording {
  private static let sizeLimit = 1 << 30

  package static func read(_ path: String) throws(Refusal) -> Report {
    let bytes = try contents(path)
    do { return try ProfileFile.report(from: bytes) } catch {
      throw Refusal("\(path): \(error)")
    }
  }

  private static func contents(_ path: String) throws(Refusal) -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw Refusal("\(path) cannot be read: \(errorMessage(errno))")
    }
    defer { if path != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Refusal("\(path) cannot be read: \(errorMessage(errno))") }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
      guard bytes.count <= sizeLimit else { throw Refusal("\(path) is too large to be a recording") }
    }
  }
}
