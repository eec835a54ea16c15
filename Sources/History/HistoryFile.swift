import Glibc

/// The file beneath a history.
enum HistoryFile {
  /// Makes the file readable by its owner alone, before SQLite makes it as the umask says. If this fails, SQLite says
  /// why when it opens the file.
  static func create(_ path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor >= 0 { close(descriptor) }
  }
}
