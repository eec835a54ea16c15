import Glibc

/// Goes from directory to directory to a file that the user has named, and follows symbolic links only where nobody but
/// the user and root can have made them. Where a directory has been opened it stays the same, whatever others rename.
final class PathWalk {
  /// The directory that holds the file, opened without being read.
  let directory: Int32
  /// The file's name there.
  let name: String
  /// What there is; nil for nothing.
  let status: stat?
  /// Whether others can put a file into the directory, or take the user's out.
  let isOpenToOthers: Bool
  /// A directory on the way whose content others can replace, or nil. A directory like /tmp, where each user can only
  /// replace what is his, counts as one for `isOpenToOthers`, but not here.
  let foreignDirectory: String?
  /// Whether the file is one of this process's own descriptors, as /dev/stdout is.
  let isOwnDescriptor: Bool

  deinit { close(directory) }

  private static let mostLinks = 40
  /// O_PATH, which Swift does not import.
  private static let pathOnly: Int32 = 0o10_000_000

  /// Throws why the file cannot be reached, as the end of a sentence.
  convenience init(_ path: String) throws(Refusal) {
    let top = Glibc.open("/", PathWalk.pathOnly | O_DIRECTORY | O_CLOEXEC)
    guard top >= 0 else { throw Refusal(errorMessage(errno)) }
    let full = path.utf8.first == UInt8(ascii: "/") ? path : Self.workingDirectory + "/" + path
    var way = Way(directory: top, rest: Self.components(full))
    do throws(Refusal) { while try way.step() {} } catch {
      close(way.directory)
      throw error
    }
    self.init(way)
  }

  private init(_ way: Way) {
    directory = way.directory
    name = way.name
    status = way.status
    isOpenToOthers = way.isOpenToOthers
    foreignDirectory = way.foreignDirectory
    isOwnDescriptor = way.isOwnDescriptor
  }

  /// How far the walk has come.
  private struct Way {
    var directory: Int32
    /// What of the path is still to go.
    var rest: [String]
    /// The path of the directory, for messages.
    var shown = ""
    var links = 0
    var name = "."
    var status: stat?
    var isOpenToOthers = false
    var foreignDirectory: String?
    var isOwnDescriptor = false

    init(directory: Int32, rest: [String]) {
      self.directory = directory
      self.rest = rest
    }

    /// Goes one name further. Returns whether there is more to go.
    mutating func step() throws(Refusal) -> Bool {
      try lookAround()
      if PathWalk.isProcessFileSystem(directory), PathWalk.isOwnDescriptor(rest) {
        (name, isOpenToOthers, isOwnDescriptor) = (rest.joined(separator: "/"), false, true)
        return false
      }
      name = rest.isEmpty ? "." : rest.removeFirst()
      var entry = stat()
      guard fstatat(directory, name, &entry, AT_SYMLINK_NOFOLLOW) == 0 else {
        guard errno == ENOENT, rest.isEmpty else { throw Refusal(errorMessage(errno)) }
        return false
      }
      switch entry.st_mode & S_IFMT {
      case S_IFLNK: try follow(entry)
      case S_IFDIR where !rest.isEmpty:
        try enter(
          openat(directory, name, PathWalk.pathOnly | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), as: shown + "/" + name)
      default:
        guard rest.isEmpty else { throw Refusal(errorMessage(ENOTDIR)) }
        status = entry
        return false
      }
      return true
    }

    private mutating func lookAround() throws(Refusal) {
      var own = stat()
      guard fstat(directory, &own) == 0 else { throw Refusal(errorMessage(errno)) }
      isOpenToOthers = Owners.canOthersWrite(own)
      let keepsToOwners = own.st_mode & S_ISVTX != 0 && Owners.isTrusted(own.st_uid)
      if isOpenToOthers, !keepsToOwners, foreignDirectory == nil { foreignDirectory = shown.isEmpty ? "/" : shown }
    }

    private mutating func follow(_ link: stat) throws(Refusal) {
      guard Owners.isTrusted(link.st_uid), !(rest.isEmpty && isOpenToOthers) else {
        throw Refusal("\(shown)/\(name) is a symbolic link that another user can have made")
      }
      links += 1
      guard links <= PathWalk.mostLinks else { throw Refusal(errorMessage(ELOOP)) }
      let target = try PathWalk.target(directory, name)
      if target.utf8.first == UInt8(ascii: "/") {
        try enter(Glibc.open("/", PathWalk.pathOnly | O_DIRECTORY | O_CLOEXEC), as: "")
      }
      rest = PathWalk.components(target) + rest
    }

    private mutating func enter(_ next: Int32, as path: String) throws(Refusal) {
      guard next >= 0 else { throw Refusal(errorMessage(errno)) }
      close(directory)
      (directory, shown) = (next, path)
    }
  }

  private static func components(_ path: String) -> [String] {
    let parts = path.utf8.split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
    // A slash at the end asks for a directory.
    return path.utf8.last == UInt8(ascii: "/") ? parts + ["."] : parts
  }

  private static var workingDirectory: String {
    guard let path = getcwd(nil, 0) else { return "" }
    defer { free(path) }
    return String(cString: path)
  }

  private static func target(_ directory: Int32, _ name: String) throws(Refusal) -> String {
    // The links of /proc lead to files, not along the text that they show.
    if isProcessFileSystem(directory), !["self", "thread-self", "mounts", "net"].contains(name) {
      throw Refusal("links of /proc are not followed")
    }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { readlinkat(directory, name, $0.baseAddress!, $0.count) }
    guard count > 0, count < buffer.count else { throw Refusal(errorMessage(count < 0 ? errno : ENAMETOOLONG)) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  private static func isProcessFileSystem(_ directory: Int32) -> Bool {
    var (own, processes) = (stat(), stat())
    return fstat(directory, &own) == 0 && stat("/proc/self/fd", &processes) == 0 && own.st_dev == processes.st_dev
  }

  /// Whether it is `self/fd/1` or the like.
  private static func isOwnDescriptor(_ way: [String]) -> Bool {
    way.count == 3 && ["self", "thread-self", "\(getpid())"].contains(way[0]) && way[1] == "fd"
      && Int32(way[2]).map { $0 >= 0 } ?? false
  }
}

/// Who may have a say in what leaktrace does.
enum Owners {
  /// Root, the user that leaktrace runs as, and whoever has become root for it by sudo(8).
  static func isTrusted(_ user: uid_t) -> Bool {
    if user == 0 || user == geteuid() { return true }
    return geteuid() == 0 && getenv("SUDO_UID").flatMap { uid_t(String(cString: $0)) } == user
  }

  /// Whether a file or directory is another user's, or others can write to it.
  static func canOthersWrite(_ status: stat) -> Bool {
    if !isTrusted(status.st_uid) || status.st_mode & 0o2 != 0 { return true }
    return status.st_mode & 0o20 != 0 && status.st_gid != 0 && status.st_gid != getegid()
  }
}
