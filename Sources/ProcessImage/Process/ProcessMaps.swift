import Glibc
import TraceModel

/// Reads `/proc/PID/maps`.
package enum ProcessMaps {
  /// The mappings of a live process in ascending order of their addresses. A zombie or a kernel thread has none. Throws
  /// when the process is gone or may not be inspected.
  package static func read(processID: Int32) throws(ProcessError) -> [Mapping] {
    let text = try readFile("/proc/\(processID)/maps", limit: 1 << 30)
    return text.withUnsafeBytes(parse)
  }

  /// Parses the text of a maps file. Lines that do not have the kernel's form are left out.
  package static func parse(_ text: UnsafeRawBufferPointer) -> [Mapping] {
    var mappings: [Mapping] = []
    var reader = LineReader(text)
    // Consecutive mappings mostly belong to the same file, so its path is decoded only once.
    var previousBytes = UnsafeRawBufferPointer(start: nil, count: 0)
    var previousPath = (path: "", isDeleted: false)
    while let line = reader.next() {
      var fields = FieldReader(line)
      guard let start = fields.hexadecimal(endingWith: UInt8(ascii: "-")),
        let end = fields.hexadecimal(endingWith: space), start < end,
        let permissions = fields.permissions(),
        let offset = fields.hexadecimal(endingWith: space),
        let major = fields.hexadecimal(endingWith: UInt8(ascii: ":")),
        let minor = fields.hexadecimal(endingWith: space),
        let inode = fields.decimal()
      else { continue }
      let pathBytes = fields.rest()
      if !(pathBytes.count == previousBytes.count && pathBytes.elementsEqual(previousBytes)) {
        previousBytes = pathBytes
        previousPath = path(pathBytes, isFile: inode != 0)
      }
      mappings.append(
        Mapping(
          start: start, end: end, fileOffset: offset, permissions: permissions,
          device: major << 32 | minor, inode: inode, path: previousPath.path,
          isDeleted: previousPath.isDeleted))
    }
    return mappings
  }

  /// Undoes what the kernel does to a path when it prints it. A newline is printed as `\012`, but a backslash is left
  /// alone: a name that contains these four characters cannot be told from one that contains a newline. ` (deleted)`
  /// follows the path of an unlinked file.
  private static func path(
    _ bytes: UnsafeRawBufferPointer, isFile: Bool
  ) -> (path: String, isDeleted: Bool) {
    var text = bytes[...]
    let mark = " (deleted)".utf8
    let isDeleted = isFile && text.count > mark.count && text.suffix(mark.count).elementsEqual(mark)
    if isDeleted { text = text.dropLast(mark.count) }
    guard text.contains(backslash) else {
      return (String(decoding: text, as: UTF8.self), isDeleted)
    }
    var plain: [UInt8] = []
    plain.reserveCapacity(text.count)
    let escape = Array("\\012".utf8)
    while let byte = text.first {
      if byte == backslash, text.starts(with: escape) {
        plain.append(newline)
        text = text.dropFirst(escape.count)
      } else {
        plain.append(byte)
        text = text.dropFirst()
      }
    }
    return (String(decoding: plain, as: UTF8.self), isDeleted)
  }
}

private let space = UInt8(ascii: " ")
private let newline = UInt8(ascii: "\n")
private let backslash = UInt8(ascii: "\\")

/// Splits a text into lines without copying it. The last line need not end with a newline.
package struct LineReader {
  private let text: UnsafeRawBufferPointer
  private var position = 0

  package init(_ text: UnsafeRawBufferPointer) { self.text = text }

  /// The next line without its newline.
  package mutating func next() -> UnsafeRawBufferPointer? {
    guard position < text.count, let base = text.baseAddress else { return nil }
    let start = position
    let length: Int
    if let end = memchr(base + start, Int32(newline), text.count - start) {
      length = UnsafeRawPointer(end) - (base + start)
    } else {
      length = text.count - start
    }
    position = start + length + 1
    return UnsafeRawBufferPointer(start: base + start, count: length)
  }
}

/// Takes the fields of a line one after the other, from the left.
private struct FieldReader {
  private var line: Slice<UnsafeRawBufferPointer>

  init(_ line: UnsafeRawBufferPointer) { self.line = line[...] }

  mutating func hexadecimal(endingWith terminator: UInt8) -> UInt64? {
    var value: UInt64 = 0
    var digits = 0
    while let byte = line.first {
      line = line.dropFirst()
      if byte == terminator { return digits > 0 ? value : nil }
      guard let digit = hexadecimalDigit(byte), digits < 16 else { return nil }
      value = value << 4 | UInt64(digit)
      digits += 1
    }
    return nil
  }

  mutating func decimal() -> UInt64? {
    var value: UInt64 = 0
    var digits = 0
    while let byte = line.first, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
      line = line.dropFirst()
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
      guard !overflow, !carry else { return nil }
      value = sum
      digits += 1
    }
    return digits > 0 ? value : nil
  }

  mutating func permissions() -> Mapping.Permissions? {
    guard line.count >= 5 else { return nil }
    let letters = Array(line.prefix(5))
    guard letters[4] == space else { return nil }
    line = line.dropFirst(5)
    var permissions: Mapping.Permissions = []
    if letters[0] == UInt8(ascii: "r") { permissions.insert(.read) }
    if letters[1] == UInt8(ascii: "w") { permissions.insert(.write) }
    if letters[2] == UInt8(ascii: "x") { permissions.insert(.execute) }
    if letters[3] == UInt8(ascii: "s") { permissions.insert(.shared) }
    return permissions
  }

  /// The rest of the line, without the spaces that align the paths. Spaces at its end belong to the path.
  mutating func rest() -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: line.drop { $0 == space })
  }
}

/// The value of a hexadecimal digit, or nil if the character is none.
@inline(__always)
package func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
  default: nil
  }
}
