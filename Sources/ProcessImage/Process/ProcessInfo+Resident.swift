import Glibc

extension ProcessInfo {
  /// Resident memory of a process in bytes, pages that it shares with others included; nil when it has ended.
  package static func residentBytes(of processID: Int32) -> UInt64? {
    guard let text = try? readFile("/proc/\(processID)/statm") else { return nil }
    let fields = String(decoding: text, as: UTF8.self).split(separator: " ")
    guard fields.count > 1, let pages = UInt64(fields[1]) else { return nil }
    return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
  }
}
