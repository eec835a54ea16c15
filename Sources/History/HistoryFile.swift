import Glibc

/// The file beneath a history.
enum HistoryFile {
  /// Makes it for its owner alone before SQLite does by the umask. What goes wrong SQLite says when it opens it.
  static func create(_ path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor >= 0 { close(descriptor) }
  }
}
