import Foundation
import Glibc
import TestTools

/// What of a process's executable code differs from its files: breakpoints.
enum ProbedCode {
  /// The files with a difference, and at which of their offsets; empty as well when there is no such process.
  static func changes(in processID: Int32) -> [String: [Int]] {
    var changes: [String: [Int]] = [:]
    let memory = open("/proc/\(processID)/mem", O_RDONLY)
    guard memory >= 0 else { return [:] }
    defer { close(memory) }
    for line in String(decoding: contents(of: "/proc/\(processID)/maps"), as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: " ", maxSplits: 5)
      guard fields.count == 6, fields[1].contains("x") else { continue }
      let path = fields[5].trimmingCharacters(in: .whitespaces)
      let range = fields[0].split(separator: "-").compactMap { Int($0, radix: 16) }
      guard path.hasPrefix("/"), range.count == 2, let offset = Int(fields[2], radix: 16),
        let file = FileManager.default.contents(atPath: path), offset < file.count
      else { continue }
      let expected = [UInt8](file[offset..<min(file.count, offset + range[1] - range[0])])
      var found = [UInt8](repeating: 0, count: expected.count)
      guard pread(memory, &found, found.count, off_t(range[0])) == found.count, found != expected else { continue }
      changes[path, default: []] += expected.indices.filter { found[$0] != expected[$0] }.map { offset + $0 }
    }
    return changes
  }
}
