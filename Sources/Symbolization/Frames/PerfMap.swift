import CElfUtils
import Glibc
import ProcessImage

/// Names of functions that a process made at run time, from the file that JIT compilers write for profilers.
///
/// Each line is `START SIZE NAME`: hexadecimal with or without `0x`, and a name that may hold spaces. A later line replaces what
/// earlier ones say about the same addresses, since code memory is reused.
struct PerfMap {
  struct Match: Equatable {
    var name: String
    var start: UInt64
  }

  private struct Entry {
    var start: UInt64
    var size: UInt64
    /// Place of the name in `text`.
    var name: UInt32
    var nameLength: UInt32
    /// Line number.
    var order: UInt32
  }

  private let text: [UInt8]
  private let entries: [Entry]

  /// Larger files are cut: names of more than a million functions.
  static let maximumSizeInBytes = 64 << 20

  var count: Int { entries.count }

  /// Lines of another form are left out.
  init(text: [UInt8]) {
    self.text = text
    entries = text.withUnsafeBytes { buffer in
      var entries: [Entry] = []
      var lines = LineReader(buffer)
      var order: UInt32 = 0
      while let line = lines.next() {
        order &+= 1
        var rest = line[...]
        guard let start = Self.number(&rest), let size = Self.number(&rest), size > 0 else {
          continue
        }
        if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
        guard let first = rest.first, first != 0, let base = rest.base.baseAddress,
          !start.addingReportingOverflow(size).overflow
        else { continue }
        let name = base + rest.startIndex - buffer.baseAddress!
        entries.append(
          Entry(
            start: start, size: size, name: UInt32(name),
            nameLength: UInt32(min(rest.count, 4096)), order: order))
      }
      entries.sort { ($0.start, $0.order) < ($1.start, $1.order) }
      return entries
    }
  }

  /// The function that covers an address; the latest one where several do.
  func lookup(_ address: UInt64) -> Match? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    var best: Entry?
    for index in stride(from: low - 1, through: max(0, low - 64), by: -1) {
      let entry = entries[index]
      if address &- entry.start < entry.size, entry.order > best?.order ?? 0 { best = entry }
    }
    return best.map { entry in
      let start = Int(entry.name)
      return Match(
        name: String(decoding: text[start..<(start + Int(entry.nameLength))], as: UTF8.self),
        start: entry.start)
    }
  }

  /// Takes a hexadecimal number and the blanks after it off the front of a line.
  private static func number(_ line: inout Slice<UnsafeRawBufferPointer>) -> UInt64? {
    if line.starts(with: [UInt8(ascii: "0"), UInt8(ascii: "x")])
      || line.starts(with: [UInt8(ascii: "0"), UInt8(ascii: "X")])
    {
      line = line.dropFirst(2)
    }
    var value: UInt64 = 0
    var digits = 0
    while let byte = line.first, let digit = hexadecimalDigit(byte) {
      guard digits < 16 else { return nil }
      value = value << 4 | UInt64(digit)
      digits += 1
      line = line.dropFirst()
    }
    guard digits > 0, let blank = line.first, isBlank(blank) else { return nil }
    line = line.drop(while: isBlank)
    return value
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
  }
}
