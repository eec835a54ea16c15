import Glibc

/// A new directory under the system's temporary one, removed with all it holds when the object goes away.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() throws(ToolFailure) {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(base)/leaktrace-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ToolFailure(command: "mkdtemp", status: errno, output: "")
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = try? run(["/bin/rm", "-rf", "--", path]) }

  /// The path of an entry of the directory.
  package func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file and returns its path.
  @discardableResult
  package func write(_ name: String, _ contents: String) throws(ToolFailure) -> String {
    try write(name, Array(contents.utf8))
  }

  @discardableResult
  package func write(_ name: String, _ contents: [UInt8]) throws(ToolFailure) -> String {
    let path = file(name)
    guard let stream = fopen(path, "w") else {
      throw ToolFailure(command: "fopen \(path)", status: errno, output: "")
    }
    let count = contents.withUnsafeBytes {
      fwrite($0.baseAddress ?? UnsafeRawPointer(stream), 1, $0.count, stream)
    }
    guard fclose(stream) == 0, count == contents.count else {
      throw ToolFailure(command: "fwrite \(path)", status: errno, output: "")
    }
    return path
  }
}

/// The bytes of a file; empty if it cannot be read.
package func contents(of path: String) -> [UInt8] {
  guard let stream = fopen(path, "r") else { return [] }
  defer { fclose(stream) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&chunk, 1, chunk.count, stream)
    if count == 0 { return bytes }
    bytes += chunk[..<count]
  }
}
