import SystemSupport

/// A place in code. Equal places are the same code, wherever it lay and whenever it was mapped.
package struct CodePlace: Hashable, Sendable {
  /// A number for the file, or for the mapping where there is no file; as good as one symbolizer lives.
  package var code: Int
  /// Bytes from the start of the file, or of the mapping.
  package var offset: UInt64

  package init(code: Int, offset: UInt64) {
    self.code = code
    self.offset = offset
  }
}

/// What makes the code of two files the same.
enum CodeKey: Hashable {
  /// Its linker said so, and the files are equally long: a library that is copied to a new place each time it is loaded.
  case build(id: String, sizeInBytes: Int)
  case version(FileVersion)

  /// Shorter build ids are no digests of what they stand for.
  private static let shortestBuildID = 16

  init(buildID: String?, sizeInBytes: Int, version: FileVersion) {
    if let buildID, buildID.utf8.count >= Self.shortestBuildID {
      self = .build(id: buildID, sizeInBytes: sizeInBytes)
    } else {
      self = .version(version)
    }
  }
}

/// Gives numbers to code.
final class CodeNumbers {
  private var numbers: [CodeKey: Int] = [:]
  private var next = 0
  /// Files beyond these get a new number each time they are mapped.
  private static let maximumCount = 1 << 16

  /// - Parameter key: nil for what has no file: a number of its own.
  func number(for key: CodeKey?) -> Int {
    if let key, let known = numbers[key] { return known }
    next += 1
    if let key, numbers.count < Self.maximumCount { numbers[key] = next }
    return next
  }
}
