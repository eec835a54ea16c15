import CElfUtils
import Glibc
import ProcessImage

/// Finds the file into which an object's debug information was split off.
struct SeparateDebugFile {
  /// Directories such as `/usr/lib/debug`.
  let directories: [String]
  /// A process whose root is tried after ours, for objects that live in a container.
  let processID: Int32?
  /// Whom the object belongs to. A debug file that only others may read is not taken: whoever made the object may have named it
  /// to see what is in it.
  var owner: UInt32 = 0

  /// Larger packed symbol tables are not unpacked; those of the largest programs take a tenth of this.
  private static let maximumPackedSymbols = 64 << 20

  /// Larger files are not taken by their checksums, which takes a second for each gigabyte; by their build ids they are.
  private static let maximumChecksummedSize = 256 << 20

  /// By build id (`/usr/lib/debug/.build-id/xx/yyyy.debug`), then by `.gnu_debuglink` beside the object, in `.debug` beside it,
  /// and beneath the debug directories. A file with another build id or checksum is not taken.
  func find(for file: ElfFile, path: String) -> ElfFile? {
    if let buildID = file.buildID, buildID.utf8.count > 2 {
      for directory in directories {
        let candidate = "\(directory)/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
        if let found = open(candidate, where: { $0.buildID == buildID }) { return found }
      }
    }
    guard let link = Self.debugLink(of: file) else { return nil }
    let parent = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? "."
    let candidates =
      ["\(parent)/\(link.name)", "\(parent)/.debug/\(link.name)"]
      + directories.map { "\($0)\(parent)/\(link.name)" }
    for candidate in candidates {
      let found = open(candidate) { other in
        if let own = file.buildID, let theirs = other.buildID { return own == theirs }
        guard other.size <= Self.maximumChecksummedSize else { return false }
        return celf_checksum(other.bytes.baseAddress!, other.size) == link.checksum
      }
      if let found { return found }
    }
    return nil
  }

  /// The file that dwz moved common parts of several debug files to, by the name that the debug file has for it
  /// (`.gnu_debugaltlink`), which may be relative to the debug file, or by its build id, which it must have.
  func supplement(of debugFile: ElfFile) -> ElfFile? {
    guard let section = debugFile.section(named: ".gnu_debugaltlink"), let contents = debugFile.contents(of: section),
      let name = contents.string(at: 0)
    else { return nil }
    // Invalid UTF-8 in the name has been repaired: the length in the file is that up to the NUL.
    guard let end = contents.prefix(4096).firstIndex(of: 0) else { return nil }
    let identifier = UnsafeRawBufferPointer(rebasing: contents.dropFirst(end + 1))
    guard !identifier.isEmpty, identifier.count <= 64 else { return nil }
    let buildID = hexadecimal(identifier)
    var candidates: [String] = []
    if name.utf8.first == UInt8(ascii: "/") {
      candidates.append(name)
    } else if let slash = debugFile.name.utf8.lastIndex(of: UInt8(ascii: "/")) {
      candidates.append(debugFile.name[...slash] + name)
    }
    candidates += directories.map { "\($0)/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug" }
    for candidate in candidates {
      if let found = open(candidate, where: { $0.buildID == buildID }) { return found }
    }
    return nil
  }

  private func open(_ path: String, where isRight: (ElfFile) -> Bool) -> ElfFile? {
    for root in ["/"] + (processID.map { ["/proc/\($0)/root"] } ?? []) {
      var status = stat()
      guard let opened = try? RootedFile.open(path: path, beneath: root), fstat(opened.descriptor, &status) == 0,
        status.st_uid == owner || status.st_mode & S_IROTH != 0,
        let file = try? ElfFile(descriptor: opened.descriptor, name: path), isRight(file)
      else { continue }
      return file
    }
    return nil
  }

  /// The name and CRC-32 in `.gnu_debuglink`; nil if the name is not that of a file in some directory.
  static func debugLink(of file: ElfFile) -> (name: String, checksum: UInt32)? {
    guard let section = file.section(named: ".gnu_debuglink"),
      let contents = file.contents(of: section), let name = contents.string(at: 0, limit: 256),
      !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/"))
    else { return nil }
    let end = UInt64(name.utf8.count) + 1
    guard let checksum = contents.value(at: (end + 3) & ~3, as: UInt32.self) else { return nil }
    return (name, checksum)
  }

  /// The symbol table packed into `.gnu_debugdata` ("mini debug info"), unpacked into memory.
  static func packedSymbols(of file: ElfFile) -> ElfFile? {
    guard let section = file.section(named: ".gnu_debugdata"),
      let contents = file.contents(of: section), let source = contents.baseAddress
    else { return nil }
    var unpacked: UnsafeMutableRawPointer?
    var size = 0
    guard celf_decompress_xz(source, contents.count, maximumPackedSymbols, &unpacked, &size) == 0
    else { return nil }
    defer { free(unpacked) }
    return try? ElfFile(
      copying: UnsafeRawBufferPointer(start: unpacked, count: size),
      name: "\(file.name) (.gnu_debugdata)")
  }
}
