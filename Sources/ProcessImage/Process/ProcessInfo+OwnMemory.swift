extension ProcessInfo {
  /// Memory of a process that is not the page cache's: anonymous, shared and huge pages, and what is swapped out, in bytes; nil
  /// when it has ended.
  package static func ownBytes(of processID: Int32) -> UInt64? {
    guard let text = try? readFile("/proc/\(processID)/status") else { return nil }
    return ownBytes(status: text)
  }

  /// Adds up the fields of the text of `/proc/PID/status`; nil where they are missing, as of a process without memory.
  static func ownBytes(status: [UInt8]) -> UInt64? {
    let fields: Set<String> = ["RssAnon", "RssShmem", "VmSwap", "HugetlbPages"]
    var sum: UInt64?
    for line in status.split(separator: UInt8(ascii: "\n")) {
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon - line.startIndex <= 12,
        fields.contains(String(decoding: line[..<colon], as: UTF8.self)),
        let value = line[(colon + 1)...].split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).first,
        let kibibytes = UInt64(ascii: value)
      else { continue }
      sum = (sum ?? 0) &+ kibibytes &* 1024
    }
    return sum
  }
}
