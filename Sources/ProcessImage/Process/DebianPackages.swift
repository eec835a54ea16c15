import Glibc

/// Which Debian packages the files of this host belong to, by the lists of files that dpkg keeps. No command is run.
package struct DebianPackages: Sendable {
  /// Where there is a list `PACKAGE.list` or `PACKAGE:ARCHITECTURE.list` for each package.
  private let directory: String

  package init(directory: String = "/var/lib/dpkg/info") { self.directory = directory }

  /// A host with many packages has some thousand lists of some ten megabytes in all.
  private static let mostLists = 50_000
  private static let mostBytesOfList = 32 << 20
  private static let mostBytes = 256 << 20
  /// Each list is searched for each path.
  private static let mostPaths = 16

  /// The packages of these paths, as far as one has them. Of many paths only some are looked up.
  package func owners(of paths: Set<String>) -> [String: String] {
    var wanted = paths.filter { $0.utf8.first == UInt8(ascii: "/") && !$0.utf8.contains(UInt8(ascii: "\n")) }.sorted()
      .prefix(Self.mostPaths).map { (path: $0, lines: Self.lines(of: $0)) }
    var owners: [String: String] = [:]
    guard !wanted.isEmpty, let entries = opendir(directory) else { return [:] }
    defer { closedir(entries) }
    var (lists, bytesLeft) = (0, Self.mostBytes)
    while !wanted.isEmpty, bytesLeft > 0, lists < Self.mostLists, let entry = readdir(entries) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard let package = Self.package(ofList: name) else { continue }
      lists += 1
      guard let list = try? readFile("\(directory)/\(name)", limit: min(bytesLeft, Self.mostBytesOfList)) else {
        continue
      }
      bytesLeft -= list.count
      wanted.removeAll { path, lines in
        guard lines.contains(where: { Self.contains(list, $0) }) else { return false }
        owners[path] = package
        return true
      }
    }
    return owners
  }

  /// The package with the symbols of another one, by Debian's names.
  package static func debugPackage(of package: String) -> String {
    if package == "libc6" { return "libc6-dbg" }
    // These have been made by hand since before there were automatic ones.
    let parts = package.split(separator: "-")
    if parts.count > 2, parts[0] == "openjdk", UInt(parts[1]) != nil { return "openjdk-\(parts[1])-dbg" }
    return package + "-dbgsym"
  }

  /// The package of a list, by its file's name; nil where that is none.
  private static func package(ofList name: String) -> String? {
    guard name.hasSuffix(".list") else { return nil }
    let package = name.dropLast(5).prefix { $0 != ":" }
    let isName = package.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"),
        UInt8(ascii: "-"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    return package.utf8.count > 1 && isName && package.utf8.first != UInt8(ascii: "-") ? String(package) : nil
  }

  /// How a list may have a path: where /lib is a link to /usr/lib, many packages still have their files in /lib.
  private static func lines(of path: String) -> [[UInt8]] {
    var names = [path]
    for folder in ["/usr/lib", "/usr/bin", "/usr/sbin"] where path.hasPrefix(folder) {
      names.append(String(path.dropFirst(4)))
    }
    return names.map { Array($0.utf8) }
  }

  /// Whether a list has a line.
  private static func contains(_ list: [UInt8], _ line: [UInt8]) -> Bool {
    list.withUnsafeBytes { list in
      line.withUnsafeBytes { line in
        guard let first = list.baseAddress, let wanted = line.baseAddress else { return false }
        var start = 0
        while start < list.count {
          let left = list.count - start
          let end = memchr(first + start, 10, left).map { UnsafeRawPointer($0) - (first + start) } ?? left
          if end == line.count, memcmp(first + start, wanted, end) == 0 { return true }
          start += end + 1
        }
        return false
      }
    }
  }
}
