import Glibc

/// Opens files that the user has named to write to.
package enum OutputFile {
  /// Makes the file, readable by its owner alone, or empties one that is the user's own. Pipes and devices are opened as they
  /// are. Blocks until a pipe has a reader.
  ///
  /// What another user can have put in the way is refused: a symbolic link in a directory like /tmp, a file that is not
  /// the user's, a second name of a file that is. Throws the reason, as the end of a sentence.
  package static func open(_ path: String) throws(Refusal) -> Int32 {
    let place = try PathWalk(path)
    if place.isOwnDescriptor { return try opened(openat(place.directory, place.name, O_WRONLY | O_CLOEXEC)) }
    guard let before = place.status else {
      return try opened(
        openat(place.directory, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600))
    }
    try check(before, isOpenToOthers: place.isOpenToOthers)
    // Only a pipe is to be waited for, and what is a file now may be one when it is opened.
    let waits = before.st_mode & S_IFMT == S_IFREG ? O_NONBLOCK : 0
    let descriptor = try opened(
      openat(place.directory, place.name, O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC | waits))
    do throws(Refusal) {
      var now = stat()
      guard fstat(descriptor, &now) == 0 else { throw Refusal(errorMessage(errno)) }
      try check(now, isOpenToOthers: place.isOpenToOthers)
      if now.st_mode & S_IFMT == S_IFREG, ftruncate(descriptor, 0) != 0 { throw Refusal(errorMessage(errno)) }
    } catch {
      close(descriptor)
      throw error
    }
    if waits != 0 { _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK) }
    return descriptor
  }

  static func check(_ status: stat, isOpenToOthers: Bool) throws(Refusal) {
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      guard Owners.isTrusted(status.st_uid) else { throw Refusal("the file belongs to another user") }
      guard status.st_nlink == 1 || !isOpenToOthers else { throw Refusal("the file has other names") }
    case S_IFDIR: throw Refusal(errorMessage(EISDIR))
    case S_IFLNK: throw Refusal("it is a symbolic link")
    default:
      guard Owners.isTrusted(status.st_uid) || !isOpenToOthers else {
        throw Refusal("another user waits there for what is written")
      }
    }
  }

  private static func opened(_ descriptor: Int32) throws(Refusal) -> Int32 {
    guard descriptor >= 0 else { throw Refusal(errorMessage(errno)) }
    return descriptor
  }

  /// For a file that is kept and read again, such as a database with its journal beside it: nobody else may be able to
  /// put anything in its place, or to have put it there before. Throws the reason, as the end of a sentence.
  package static func checkKept(_ path: String) throws(Refusal) {
    let place = try PathWalk(path)
    guard place.foreignDirectory == nil else { throw Refusal("others can write to \(place.foreignDirectory ?? "")") }
    guard let status = place.status else { return }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Refusal("it is no file") }
    guard Owners.isTrusted(status.st_uid) else { throw Refusal("the file belongs to another user") }
  }
}
