import Glibc
import SystemSupport

/// The file beneath a history.
enum HistoryFile {
  /// Makes the file readable by its owner alone, before SQLite makes it as the umask says. If this fails, SQLite says
  /// why when it opens the file. Throws where others could put another file in its place, or a journal beside it.
  static func create(_ path: String) throws(HistoryError) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
      do throws(Refusal) { try OutputFile.checkKept(path + suffix) } catch {
        throw HistoryError(operation: "open \(path + suffix)", code: 0, message: error.description)
      }
    }
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor >= 0 { close(descriptor) }
  }
}
