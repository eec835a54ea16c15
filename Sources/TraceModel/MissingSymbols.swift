import Quantities

/// A file whose functions have no names in a report, and where names can be had.
package struct MissingSymbols: Hashable, Codable, Sendable {
  /// Its path, as the process sees it.
  package var module: String
  /// GNU build id, lower-case hexadecimal.
  package var buildID: String?
  /// How many frames of the report lie in it and have no name.
  package var frames: UInt64
  /// The Debian package that has its symbols; nil where none is known.
  package var package: String?

  package init(module: String, buildID: String?, frames: UInt64, package: String? = nil) {
    self.module = module
    self.buildID = buildID
    self.frames = frames
    self.package = package
  }

  /// What misses names, why, and what to do. The path is the target's: escape it before it is printed.
  package var sentence: String {
    "No names for \(counted(frames, "frame")) in \(module), which has no symbol table: \(advice)"
  }

  /// What to do, in a sentence for people.
  package var advice: String {
    if let package { return "install \(package) (Debian's debug archive has the packages -dbgsym)" }
    guard let buildID, buildID.utf8.count > 2 else {
      return "keep its debug information when it is built (-g, no strip)"
    }
    return
      "debuginfod-find debuginfo \(buildID), where DEBUGINFOD_URLS names a server that knows it, and put the file at "
      + "/usr/lib/debug/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
  }
}
