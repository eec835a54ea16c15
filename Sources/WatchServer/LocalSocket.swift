import Glibc
import SystemSupport

/// A listening Unix socket that only its owner can connect to.
enum LocalSocket {
  /// Binds a socket at the path, and returns its descriptor. What is left of a server that has ended is replaced.
  ///
  /// Throws where something else is at the path, or a living server; and where others could put something else there,
  /// since whoever connects would then talk to them.
  static func bind(_ path: String) throws(Refusal) -> Int32 {
    var address = sockaddr_un()
    guard path.hasPrefix("/"), path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw Refusal("socket \(path): it must be an absolute path of at most 107 bytes")
    }
    try prepareDirectory(of: path)
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    try removeDeadSocket(path, address)
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Refusal("socket \(path): \(errorMessage(errno))") }
    // Linux gives the file the mode that the socket has: there is no moment at which others could connect.
    guard fchmod(descriptor, 0o600) == 0, call(Glibc.bind, descriptor, address) == 0 else {
      let code = errno
      close(descriptor)
      throw Refusal("socket \(path): \(errorMessage(code))")
    }
    return descriptor
  }

  private static func prepareDirectory(of path: String) throws(Refusal) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let directory = parts.count > 2 ? parts.dropLast().joined(separator: "/") : "/"
    _ = mkdir(directory, 0o700)
    var status = stat()
    guard stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw Refusal("socket \(path): \(directory) is no directory, and cannot be made")
    }
    guard status.st_uid == geteuid() || status.st_uid == 0, status.st_mode & 0o22 == 0 || status.st_mode & S_ISVTX != 0
    else { throw Refusal("socket \(path): others can write to \(directory)") }
  }

  private static func removeDeadSocket(_ path: String, _ address: sockaddr_un) throws(Refusal) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK, status.st_uid == geteuid() else {
      throw Refusal("socket \(path): there is something else")
    }
    let probe = socket(
      AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    defer { close(probe) }
    guard call(connect, probe, address) != 0, errno == ECONNREFUSED else {
      throw Refusal("socket \(path): another process listens there")
    }
    unlink(path)
  }

  private static func call(
    _ function: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32, _ descriptor: Int32, _ address: sockaddr_un
  ) -> Int32 {
    withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        function(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
