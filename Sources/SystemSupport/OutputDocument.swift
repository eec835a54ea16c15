import Glibc

/// A place to which documents are written that the user has named. In a file the last one stands, whole: it is written beside
/// and then renamed, so that neither a full disk nor the end of leaktrace leaves half a file. Standard output, pipes and
/// devices are streams, which get one document after the other.
///
/// What another user can have put in the way is refused as by ``OutputFile``.
package final class OutputDocument {
  private enum Place {
    /// - Parameter isOpened: whether the descriptor is closed at the end.
    case stream(Int32, isOpened: Bool)
    case file(PathWalk)
    /// A file in whose directory no other can be made, or that has other names: it is emptied and written.
    case inPlace(String)
  }
  private let place: Place

  /// Opens the place, or tries whether a file can be written there. nil and `-` are standard output. Throws the reason, as the
  /// end of a sentence.
  package init(_ path: String?) throws(Refusal) {
    guard let path, path != "-" else {
      place = .stream(STDOUT_FILENO, isOpened: false)
      return
    }
    let walk = try PathWalk(path)
    let isFile = walk.status.map { $0.st_mode & S_IFMT == S_IFREG } ?? true
    guard isFile, !walk.isOwnDescriptor else {
      place = .stream(try OutputFile.open(path), isOpened: true)
      return
    }
    if let status = walk.status { try OutputFile.check(status, isOpenToOthers: walk.isOpenToOthers) }
    let hasOtherNames = walk.status.map { $0.st_nlink > 1 } ?? false
    if !hasOtherNames {
      do throws(Refusal) {
        close(try Self.makeDraft(of: walk))
        unlinkat(walk.directory, Self.draftName(of: walk), 0)
        place = .file(walk)
        return
      } catch { if walk.status == nil { throw error } }
    }
    let descriptor = openat(walk.directory, walk.name, O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Refusal(errorMessage(errno)) }
    close(descriptor)
    place = .inPlace(path)
  }

  deinit { if case .stream(let descriptor, true) = place { close(descriptor) } }

  /// Writes a document. Throws the reason, as the end of a sentence; a file is as it was before then.
  package func write(_ bytes: [UInt8]) throws(Refusal) {
    switch place {
    case .stream(let descriptor, _): try Self.write(bytes, to: descriptor)
    case .file(let walk): try replace(walk, with: bytes)
    case .inPlace(let path):
      let descriptor = try OutputFile.open(path)
      do throws(Refusal) { try Self.write(bytes, to: descriptor) } catch {
        close(descriptor)
        throw error
      }
      guard close(descriptor) == 0 else { throw Refusal(errorMessage(errno)) }
    }
  }

  private func replace(_ walk: PathWalk, with bytes: [UInt8]) throws(Refusal) {
    let draft = Self.draftName(of: walk)
    let descriptor = try Self.makeDraft(of: walk)
    do throws(Refusal) {
      do throws(Refusal) {
        try Self.keepOwner(of: walk, for: descriptor)
        try Self.write(bytes, to: descriptor)
      } catch {
        close(descriptor)
        throw error
      }
      // Some file systems say only now that there was no room.
      guard close(descriptor) == 0 else { throw Refusal(errorMessage(errno)) }
      guard renameat(walk.directory, draft, walk.directory, walk.name) == 0 else { throw Refusal(errorMessage(errno)) }
    } catch {
      unlinkat(walk.directory, draft, 0)
      throw error
    }
  }

  private static func draftName(of walk: PathWalk) -> String {
    // A name can have 255 bytes.
    let name = String(decoding: Array(walk.name.utf8.prefix(200)), as: UTF8.self)
    return ".\(name).leaktrace-\(getpid())"
  }

  private static func makeDraft(of walk: PathWalk) throws(Refusal) -> Int32 {
    // One that a leaktrace of the same number has left behind.
    unlinkat(walk.directory, draftName(of: walk), 0)
    let descriptor = openat(
      walk.directory, draftName(of: walk), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Refusal(errorMessage(errno)) }
    return descriptor
  }

  /// A file that is replaced keeps its owner and its permissions, if it may be replaced.
  private static func keepOwner(of walk: PathWalk, for descriptor: Int32) throws(Refusal) {
    var now = stat()
    guard fstatat(walk.directory, walk.name, &now, AT_SYMLINK_NOFOLLOW) == 0 else { return }
    try OutputFile.check(now, isOpenToOthers: walk.isOpenToOthers)
    guard now.st_mode & S_IFMT == S_IFREG else { throw Refusal("it is no file any more") }
    _ = fchown(descriptor, now.st_uid, now.st_gid)
    _ = fchmod(descriptor, now.st_mode & 0o777)
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(Refusal) {
    let code = writeWhole(bytes, to: descriptor)
    guard code == 0 else { throw Refusal(errorMessage(code)) }
  }
}
