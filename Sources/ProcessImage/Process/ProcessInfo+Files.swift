import CElfUtils
import Glibc

extension ProcessInfo {
  /// The arguments with which the process was started, or what it has written over them since. Empty for kernel threads
  /// and zombies.
  package static func arguments(of processID: Int32) -> [String] {
    guard let bytes = try? readFile("/proc/\(processID)/cmdline", limit: 1 << 21), !bytes.isEmpty
    else { return [] }
    var parts = bytes.split(separator: 0, omittingEmptySubsequences: false)
    if parts.last?.isEmpty == true { parts.removeLast() }
    return parts.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The path of the program, by the names of our mount namespace, and whether the file has been unlinked since. nil
  /// for kernel threads and for processes that we may not look at.
  package static func executable(of processID: Int32) -> (path: String, isDeleted: Bool)? {
    guard let link = readLink("/proc/\(processID)/exe") else { return nil }
    let mark = " (deleted)"
    guard link.hasSuffix(mark) else { return (link, false) }
    return (String(link.dropLast(mark.count)), true)
  }

  /// The ids of a process's threads, in ascending order. Empty when the process is gone.
  package static func threads(of processID: Int32) -> [Int32] {
    numericEntries(of: "/proc/\(processID)/task")
  }

  /// The id of a thread by which the memory and the files of a process can be read. When the first thread ends before
  /// the others, they can no longer be read by the number of the process: what `/proc` shows under it belongs to the
  /// first thread.
  package static func readableThread(of processID: Int32) -> Int32 {
    func hasMemory(_ thread: Int32) -> Bool {
      (try? readFile("/proc/\(thread)/maps", limit: 1))?.isEmpty == false
    }
    if hasMemory(processID) { return processID }
    return threads(of: processID).first(where: hasMemory) ?? processID
  }

  /// The ids of all processes of our pid namespace, in ascending order.
  package static func allProcessIDs() -> [Int32] { numericEntries(of: "/proc") }

  /// Whether the program is a 32-bit one, by the header of its file. nil when the header cannot be read.
  package static func is32Bit(_ processID: Int32) -> Bool? {
    guard let file = try? OpenFile(path: "/proc/\(processID)/exe"),
      let header = try? file.readAll(limit: 5), header.count == 5,
      header.starts(with: [0x7f, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")])
    else { return nil }
    return header[Int(EI_CLASS)] == UInt8(ELFCLASS32)
  }

  /// Whether a process sees the same mounts as leaktrace. nil when that cannot be found out.
  package static func sharesMountNamespace(_ processID: Int32) -> Bool? {
    guard let own = readLink("/proc/self/ns/mnt"), let other = readLink("/proc/\(processID)/ns/mnt")
    else { return nil }
    return own == other
  }

  private static func numericEntries(of path: String) -> [Int32] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var numbers: [Int32] = []
    while let entry = readdir(directory) {
      let number = withUnsafeBytes(of: &entry.pointee.d_name) { name in
        Int32(ascii: name.prefix { $0 != 0 })
      }
      if let number { numbers.append(number) }
    }
    return numbers.sorted()
  }
}
