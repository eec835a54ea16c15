/// Where a process is in the hierarchy of control groups.
package enum ControlGroupPath {
  /// Its path in the memory controller's hierarchy where there are hierarchies of version 1, in the unified one elsewhere.
  /// Throws with `isProcessGone` when there is no such process.
  package static func read(processID: Int32) throws(ProcessError) -> String? {
    parse(try readFile("/proc/\(processID)/cgroup"))
  }

  /// Parses /proc/PID/cgroup: lines of `hierarchy:controllers:path`.
  static func parse(_ text: [UInt8]) -> String? {
    var unified: String?
    for line in text.split(separator: 0x0a) {
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let path = String(decoding: fields[2], as: UTF8.self)
      if fields[1].split(separator: UInt8(ascii: ",")).contains(where: { $0.elementsEqual("memory".utf8) }) {
        return path
      }
      if fields[1].isEmpty { unified = path }
    }
    return unified
  }
}
