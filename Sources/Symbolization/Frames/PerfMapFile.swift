import CElfUtils
import Glibc
import ProcessImage
import Quantities
import SystemSupport

/// The perf map of one process. What has been added to it is read when an address has no name.
///
/// The file is taken only if the process itself may have written it: a regular file of the process's user, with one name,
/// reached without a symbolic link beneath the process's root. Anyone may put something of this name into the shared directory,
/// and what we read with the rights of root is shown in reports.
final class PerfMapFile {
  private let processID: Int32
  private let startTimeInTicks: UInt64
  private let path: String
  private let limits: PerfMapLimits
  /// The file, kept open from the first time it is seen, so that it can be read after the process has ended.
  private var descriptor: Int32 = -1
  /// Effective user of the process when the file was opened.
  private var userID: UInt32
  private var map: PerfMap?
  private var version: FileVersion?
  /// Where the first line begins that has not been read as a whole.
  private var position = 0
  /// The bytes before `position`, by which a file that was written anew is told from one that was added to.
  private var tail: [UInt8] = []
  private static let tailBytes = 4096

  init(_ process: ProcessImage.ProcessInfo, limits: PerfMapLimits) {
    processID = process.processID
    startTimeInTicks = process.startTimeInTicks
    userID = process.userID
    self.limits = limits
    // In a container the process knows only its inner pid, and its own /tmp.
    path = "/tmp/perf-\(process.innermostProcessID).map"
    openAgain()
  }

  deinit {
    forget()
    if descriptor >= 0 { close(descriptor) }
  }

  /// Allows one more look at the file. A stack may have many addresses that the file does not know.
  func allowRereading() { mayReread = true }
  private var mayReread = true

  /// The function that covers an address. The file is looked at again when none does, once after `allowRereading`, and as long
  /// as that does not take too much of the time.
  func lookup(_ address: UInt64) -> PerfMap.Match? {
    if let match = map?.lookup(address) { return match }
    guard mayReread else { return nil }
    mayReread = false
    return limits.timed {
      openAgain()
      return reread() ? map?.lookup(address) : nil
    } ?? nil
  }

  /// Looks for the file again, as long as the process lives.
  private func openAgain() {
    guard let process = try? ProcessImage.ProcessInfo(processID: processID),
      process.startTimeInTicks == startTimeInTicks,
      let file = try? RootedFile.open(path: path, inRootOf: processID, followsLinks: false)
    else { return }
    let duplicate = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
    guard duplicate >= 0 else { return }
    if descriptor >= 0 { close(descriptor) }
    descriptor = duplicate
    userID = process.userID
  }

  /// Whether there is something new.
  private func reread() -> Bool {
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_uid == userID, status.st_nlink <= 1
    else { return false }
    let current = FileVersion(status, by: .modification)
    guard current != version else { return false }
    let isSameFile = current.file == version?.file && Int(status.st_size) >= position
    version = current
    if !isSameFile || read(from: position - tail.count, count: tail.count) != tail { forget() }
    return readLines(upTo: Int(status.st_size))
  }

  /// Reads what lies between the last line that was read and the end that the file had a moment ago. A file of procfs, which
  /// makes its contents for whoever reads it, has a size of 0.
  private func readLines(upTo end: Int) -> Bool {
    guard end > position else { return false }
    if end > PerfMapLimits.maximumFileBytes { limits.noteCut(processID) }
    let count = min(end, PerfMapLimits.maximumFileBytes) - position
    guard count > 0, map?.isCut != true, !limits.isExhausted else {
      limits.noteCut(processID)
      return false
    }
    var text = read(from: position, count: count)
    // A line that is being written is read as a whole later, unless the process has ended.
    if position + text.count < end || isAlive {
      text.removeSubrange(((text.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1)...)
    }
    guard !text.isEmpty else { return false }
    var grown = map ?? PerfMap()
    map = nil
    grown.append(text)
    limits.note(grown.sizeInBytes, of: self)
    if grown.isCut { limits.noteCut(processID) }
    map = grown
    position += text.count
    tail = Array((tail + text.suffix(Self.tailBytes)).suffix(Self.tailBytes))
    return true
  }

  private var isAlive: Bool {
    (try? ProcessImage.ProcessInfo(processID: processID))?.startTimeInTicks == startTimeInTicks
  }

  private func forget() {
    map = nil
    position = 0
    tail = []
    limits.note(0, of: self)
  }

  private func read(from offset: Int, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let got = pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset + filled))
        if got > 0 {
          filled += got
        } else if got == 0 || errno != EINTR {
          return
        }
      }
    }
  }
}

/// What the perf maps of all processes may take together.
final class PerfMapLimits {
  /// What of a file is read at most: names of half a million functions.
  static let maximumFileBytes = 64 << 20
  /// What all maps together may take of memory, and of the time: this many seconds, and this share of all time since.
  private static let maximumBytes = 64 << 20
  private static let freeSeconds = 0.5
  private static let shareOfTime = 0.05

  private var sizes: [ObjectIdentifier: Int] = [:]
  private let start = monotonicSeconds()
  private var spent = 0.0
  /// Processes whose files were not read to their ends.
  private(set) var cutProcesses: Set<Int32> = []
  /// How often a file was not looked at because that had taken too much of the time.
  private(set) var postponed = 0

  /// Calls the closure and charges for the time that it takes; nil if too much has been spent by now.
  func timed<Result>(_ body: () -> Result) -> Result? {
    let begin = monotonicSeconds()
    guard spent <= Self.freeSeconds + (begin - start) * Self.shareOfTime else {
      postponed += 1
      return nil
    }
    defer { spent += monotonicSeconds() - begin }
    return body()
  }

  /// Whether no more memory is left for a map to grow.
  var isExhausted: Bool { sizes.values.reduce(0, +) >= Self.maximumBytes }

  func note(_ sizeInBytes: Int, of file: PerfMapFile) {
    sizes[ObjectIdentifier(file)] = sizeInBytes == 0 ? nil : sizeInBytes
  }

  func noteCut(_ processID: Int32) { if cutProcesses.count < 1024 { cutProcesses.insert(processID) } }

  /// What was left out, for the notes of a report.
  var notes: [String] {
    var notes: [String] = []
    if let first = cutProcesses.min() {
      let others =
        cutProcesses.count > 1
        ? " and those of \(counted(cutProcesses.count - 1, "other process", "other processes"))" : ""
      notes.append(
        "the perf map of process \(first)\(others) was not read to its end: it is larger than \(Self.maximumFileBytes >> 20) MiB, or names more than \(groupedNumber(PerfMap.maximumCount)) functions"
      )
    }
    if postponed > 0 {
      notes.append(
        "perf maps were not read again \(counted(postponed, "time")) because that took more than a twentieth of the time: generated code may be without names"
      )
    }
    return notes
  }
}
