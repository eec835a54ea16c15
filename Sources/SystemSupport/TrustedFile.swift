import Glibc

/// Reads files that tell leaktrace what to do. As it runs as root, whoever can write to such a file could do what root can.
package enum TrustedFile {
  /// The most that such a file may hold, in bytes.
  package static let sizeLimit = 1 << 20

  /// All bytes of a file that belongs to the user or to root, that others cannot write to, and whose directories others
  /// cannot write to either, but for those like /tmp where each user can only replace what is his. What was checked is
  /// what is read. Throws the reason, as the end of a sentence.
  package static func read(_ path: String) throws(Refusal) -> [UInt8] {
    let descriptor = try open(path)
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Refusal(errorMessage(errno)) }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
      guard bytes.count <= sizeLimit else { throw Refusal(errorMessage(EFBIG)) }
    }
  }

  /// Throws where a file must not be trusted, as the end of a sentence. A file that is not there is nobody's.
  package static func check(_ path: String) throws(Refusal) {
    let place = try PathWalk(path)
    guard !place.isOwnDescriptor, let status = place.status else { return }
    try check(status, place)
  }

  private static func open(_ path: String) throws(Refusal) -> Int32 {
    let place = try PathWalk(path)
    // Whoever started leaktrace has opened its descriptors.
    if place.isOwnDescriptor {
      let descriptor = openat(place.directory, place.name, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw Refusal(errorMessage(errno)) }
      return descriptor
    }
    guard place.status != nil else { throw Refusal(errorMessage(ENOENT)) }
    let descriptor = openat(place.directory, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Refusal(errorMessage(errno)) }
    do throws(Refusal) {
      var now = stat()
      guard fstat(descriptor, &now) == 0 else { throw Refusal(errorMessage(errno)) }
      try check(now, place)
      return descriptor
    } catch {
      close(descriptor)
      throw error
    }
  }

  private static func check(_ status: stat, _ place: PathWalk) throws(Refusal) {
    guard status.st_mode & S_IFMT == S_IFREG else { throw Refusal("it is no file") }
    guard Owners.isTrusted(status.st_uid) else { throw Refusal("it belongs to another user, who could change it") }
    guard !Owners.canOthersWrite(status) else { throw Refusal("others can write to it") }
    if let directory = place.foreignDirectory { throw Refusal("others can write to \(directory)") }
  }
}
