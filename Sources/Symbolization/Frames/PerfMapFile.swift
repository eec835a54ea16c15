import CElfUtils
import Glibc
import ProcessImage
import SystemSupport

/// The perf map of one process, reread when it has changed.
final class PerfMapFile {
  private let processID: Int32
  private let startTimeInTicks: UInt64
  private let userID: UInt32
  private let path: String
  /// The file, kept open from the first time it is seen, so that it can be read after the process has ended.
  private var descriptor: Int32 = -1
  private var map: PerfMap?
  private var version: FileVersion?

  init(_ process: ProcessImage.ProcessInfo) {
    processID = process.processID
    startTimeInTicks = process.startTimeInTicks
    userID = process.userID
    // In a container the process knows only its inner pid, and its own /tmp.
    path = "/tmp/perf-\(process.innermostProcessID).map"
    openAgain()
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Allows one more look at the file. A stack may have many addresses that the file does not know.
  func allowRereading() { mayReread = true }
  private var mayReread = true

  /// The function that covers an address. The file is looked at again when none does, once after `allowRereading`.
  func lookup(_ address: UInt64) -> PerfMap.Match? {
    if let match = map?.lookup(address) { return match }
    guard mayReread else { return nil }
    mayReread = false
    openAgain()
    guard reread() else { return nil }
    return map?.lookup(address)
  }

  /// Looks for the file again, as long as the process lives.
  private func openAgain() {
    guard let process = try? ProcessImage.ProcessInfo(processID: processID),
      process.startTimeInTicks == startTimeInTicks,
      let file = try? RootedFile.open(path: path, inRootOf: processID)
    else { return }
    let duplicate = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
    guard duplicate >= 0 else { return }
    if descriptor >= 0 { close(descriptor) }
    descriptor = duplicate
  }

  /// Whether there is something new. A file that belongs neither to the process's user nor to root is not believed: anyone may
  /// have put it into the shared directory.
  private func reread() -> Bool {
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_uid == userID || status.st_uid == 0
    else { return false }
    let current = FileVersion(status, by: .modification)
    guard current != version else { return false }
    version = current
    lseek(descriptor, 0, SEEK_SET)
    // Reads a duplicate, so that our own descriptor stays open.
    let file = OpenFile(owning: fcntl(descriptor, F_DUPFD_CLOEXEC, 0))
    guard let text = try? file.readAll(limit: PerfMap.maximumSizeInBytes) else { return false }
    map = PerfMap(text: text)
    return true
  }
}
