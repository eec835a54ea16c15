import Glibc
import ProcessImage

/// Pointers that a process has given to the kernel and gets back from it, where /proc shows them: the data of epoll
/// entries, the values of POSIX timers, and what waits in the queues of an io_uring.
struct KernelHeldPointers {
  /// Descriptors of the process that hold such pointers, by what they are.
  private let descriptors: [(number: Int32, name: String)]
  private let processID: Int32

  /// Finds the descriptors. Done before a process is stopped: it may have many thousands of others.
  init(processID: Int32) {
    self.processID = processID
    let directory = "/proc/\(processID)/fd"
    descriptors = Self.numbers(in: directory).compactMap { number in
      switch readLink("\(directory)/\(number)") {
      case "anon_inode:[eventpoll]": (number, "epoll")
      case "anon_inode:[io_uring]": (number, "io_uring")
      default: nil
      }
    }
  }

  private static func numbers(in directory: String) -> [Int32] {
    guard let entries = opendir(directory) else { return [] }
    defer { closedir(entries) }
    var numbers: [Int32] = []
    while let entry = readdir(entries) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let number = Int32(name) { numbers.append(number) }
    }
    return numbers
  }

  /// What the kernel holds now.
  func read() -> [RootValue] {
    var values: [RootValue] = []
    for descriptor in descriptors {
      guard let text = try? readFile("/proc/\(processID)/fdinfo/\(descriptor.number)") else { continue }
      let name = "\(descriptor.name) descriptor \(descriptor.number)"
      let found =
        descriptor.name == "epoll"
        ? Self.numbers(behind: "data:", radix: 16, in: text) : Self.numbers(behind: "user_data:", radix: 10, in: text)
      values += found.map { RootValue(value: $0, kind: .kernel, name: name) }
    }
    if let text = try? readFile("/proc/\(processID)/timers") {
      values += Self.timerValues(in: text).map { RootValue(value: $0, kind: .kernel, name: "timer") }
    }
    return values
  }

  /// Every number that follows a word of a text, with or without blanks between.
  static func numbers(behind word: String, radix: Int, in text: [UInt8]) -> [UInt64] {
    let word = Array(word.utf8)
    var found: [UInt64] = []
    var rest = text[...]
    while let start = rest.firstIndex(of: word[0]) {
      rest = rest[start...]
      guard rest.starts(with: word) else {
        rest = rest.dropFirst()
        continue
      }
      rest = rest.dropFirst(word.count).drop { $0 == UInt8(ascii: " ") }
      var value: UInt64 = 0
      while let digit = rest.first.flatMap(hexadecimalDigit), Int(digit) < radix {
        value = value &* UInt64(radix) &+ UInt64(digit)
        rest = rest.dropFirst()
      }
      if value != 0 { found.append(value) }
    }
    return found
  }

  /// The values that timers deliver: lines as `signal: 14/00007ffdb1c7a0c0`.
  static func timerValues(in text: [UInt8]) -> [UInt64] {
    text.split(separator: UInt8(ascii: "\n")).compactMap { line in
      guard line.starts(with: "signal:".utf8), let slash = line.firstIndex(of: UInt8(ascii: "/")) else { return nil }
      let value = UInt64(String(decoding: line[(slash + 1)...], as: UTF8.self), radix: 16)
      return value == 0 ? nil : value
    }
  }
}
