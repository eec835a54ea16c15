import Glibc
import TraceModel

/// Reads `/proc/PID/maps`.
package enum ProcessMaps {
  /// The mappings of a live process in ascending order of their addresses. A zombie or a kernel thread has none. Throws
  /// when the process is gone or may not be inspected.
  package static func read(processID: Int32) throws(ProcessError) -> [Mapping] {
    let path = "/proc/\(processID)/maps"
    let file = try OpenFile(path: path)
    var parser = Parser()
    // The text of a process with many mappings may be larger than what is kept of it, so that it is never read as a whole.
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var filled = 0
    while true {
      let got = buffer.withUnsafeMutableBytes {
        Glibc.read(file.descriptor, $0.baseAddress! + filled, $0.count - filled)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw ProcessError(operation: "read", path: path, code: errno) }
      filled += got
      guard let end = got == 0 ? filled : buffer[..<filled].lastIndex(of: newline).map({ $0 + 1 }) else {
        // No line of the kernel's is as long as this.
        if filled == buffer.count { filled = 0 }
        continue
      }
      buffer.withUnsafeBytes { parser.parse(UnsafeRawBufferPointer(rebasing: $0[..<end])) }
      if got == 0 { return parser.mappings }
      buffer.replaceSubrange(..<end, with: EmptyCollection())
      buffer.append(contentsOf: repeatElement(0, count: end))
      filled -= end
    }
  }

  /// Parses the text of a maps file. Lines that do not have the kernel's form are left out.
  package static func parse(_ text: UnsafeRawBufferPointer) -> [Mapping] {
    var parser = Parser()
    parser.parse(text)
    return parser.mappings
  }

  private struct Parser {
    private(set) var mappings: [Mapping] = []
    // Consecutive mappings mostly belong to the same file, so its path is decoded only once.
    private var previousBytes: [UInt8] = []
    private var previousPath = (path: "", isDeleted: false)
    private var pathBytes = 0
    /// The most bytes of paths that are kept whole. Each of a million mappings may have another path of 4 KiB.
    private static let maximumPathBytes = 16 << 20
    private static let cutLength = 64

    mutating func parse(_ text: UnsafeRawBufferPointer) {
      var reader = LineReader(text)
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
        let bytes = fields.rest()
        if !(bytes.count == previousBytes.count && bytes.elementsEqual(previousBytes)) {
          note(bytes, isFile: inode != 0)
        }
        mappings.append(
          Mapping(
            start: start, end: end, fileOffset: offset, permissions: permissions,
            device: major << 32 | minor, inode: inode, path: previousPath.path,
            isDeleted: previousPath.isDeleted))
      }
    }

    private mutating func note(_ bytes: UnsafeRawBufferPointer, isFile: Bool) {
      previousBytes = Array(bytes)
      previousPath = ProcessMaps.path(bytes, isFile: isFile)
      pathBytes += bytes.count
      guard pathBytes > Self.maximumPathBytes, previousPath.path.utf8.count > Self.cutLength else { return }
      previousPath.path = String(decoding: previousPath.path.utf8.prefix(Self.cutLength), as: UTF8.self) + "…"
    }
  }

  /// Undoes what the kernel does to a path when it prints it. A newline is printed as `\012`, but a backslash is left
  /// alone: a name that contains these four characters cannot be told from one that contains a newline. ` (deleted)`
  /// follows the path of an unlinked file.
  fileprivate static func path(
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
