import CElfUtils
import Glibc

extension ProcessInfo {
  /// The arguments the process was started with (or has written over them since). Empty for kernel threads and zombies.
  package static func arguments(of processID: Int32) -> [String] {
    guard let bytes = try? readFile("/proc/\(processID)/cmdline", limit: 1 << 21), !bytes.isEmpty
    else { return [] }
    var parts = bytes.split(separator: 0, omittingEmptySubsequences: false)
    if parts.last?.isEmpty == true { parts.removeLast() }
    return parts.map { String(decoding: $0, as: UTF8.self) }
  }

  /// Path of the program, as seen from our mount namespace's naming, and whether the file has been unlinked since.
  /// nil for kernel threads and processes out of reach.
  package static func executable(of processID: Int32) -> (path: String, isDeleted: Bool)? {
    guard let link = readLink("/proc/\(processID)/exe") else { return nil }
    let mark = " (deleted)"
    guard link.hasSuffix(mark) else { return (link, false) }
    return (String(link.dropLast(mark.count)), true)
  }

  /// The thread ids of a process, ascending; empty when it is gone.
  package static func threads(of processID: Int32) -> [Int32] {
    numericEntries(of: "/proc/\(processID)/task")
  }

  /// A thread of a process by which its memory and files can be read: under `/proc`, they go with the first thread when that ends
  /// before the others.
  package static func readableThread(of processID: Int32) -> Int32 {
    func hasMemory(_ thread: Int32) -> Bool {
      (try? readFile("/proc/\(thread)/maps", limit: 1))?.isEmpty == false
    }
    if hasMemory(processID) { return processID }
    return threads(of: processID).first(where: hasMemory) ?? processID
  }

  /// Every process of our pid namespace, ascending.
  package static func allProcessIDs() -> [Int32] { numericEntries(of: "/proc") }

  /// Whether the program is a 32-bit one, by the header of its file; nil when that cannot be read.
  package static func is32Bit(_ processID: Int32) -> Bool? {
    guard let file = try? OpenFile(path: "/proc/\(processID)/exe"),
      let header = try? file.readAll(limit: 5), header.count == 5,
      header.starts(with: [0x7f, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")])
    else { return nil }
    return header[Int(EI_CLASS)] == UInt8(ELFCLASS32)
  }

  /// Whether two processes see the same mounts; nil when one of them cannot be asked.
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
