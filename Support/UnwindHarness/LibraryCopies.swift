import Glibc
import ProcessImage
import ProgramSupport

/// Copies of shared libraries for the programs under test alone.
final class LibraryCopies {
  private let directory: TemporaryDirectory?
  private var isUsed = false

  init() { directory = try? TemporaryDirectory() }

  /// A copy of a shared library; nil for anything else, and for the dynamic loader, which programs name by its path.
  func copy(of path: String) throws -> String? {
    let name = String(path.split(separator: "/").last ?? "")
    guard let directory, name.contains(".so"), !name.hasPrefix("ld-linux") else { return nil }
    let copy = directory.file(name)
    if access(copy, F_OK) != 0 { try ProgramSupport.run(["/bin/cp", "-L", path, copy]) }
    isUsed = true
    return copy
  }

  /// Our environment, in which a program finds the copies first.
  var environment: [String] {
    var variables: [String] = []
    var entry = environ
    while let text = entry.pointee {
      variables.append(String(cString: text))
      entry += 1
    }
    guard isUsed, let directory else { return variables }
    return variables.filter { !$0.hasPrefix("LD_LIBRARY_PATH=") } + ["LD_LIBRARY_PATH=\(directory.path)"]
  }
}
