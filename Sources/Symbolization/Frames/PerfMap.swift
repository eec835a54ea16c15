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
    /// Functions of 4 GiB and more are cut.
    var size: UInt32
    /// Place of the name in `names`.
    var name: UInt32
    /// Number of the line.
    var order: UInt32
    var nameLength: UInt16
  }

  private var names: [UInt8] = []
  /// Ascending by start, then by line.
  private var entries: [Entry] = []
  private var lastOrder: UInt32 = 0
  /// Whether lines were left out because there were too many.
  private(set) var isCut = false

  /// The most functions that are kept, and the most bytes of their names. What comes behind them is left out.
  static let maximumCount = 1 << 19
  static let maximumNameBytes = 32 << 20
  /// Longer names are cut, in bytes.
  private static let maximumNameLength = 4096

  var count: Int { entries.count }
  /// Bytes of memory that the map takes.
  var sizeInBytes: Int { names.capacity + entries.capacity * MemoryLayout<Entry>.stride }

  init() {}

  init(text: [UInt8]) { append(text) }

  /// Adds lines. Those of another form are left out.
  mutating func append(_ text: [UInt8]) {
    var added: [Entry] = []
    text.withUnsafeBytes { buffer in
      var lines = LineReader(buffer)
      while let line = lines.next() {
        lastOrder &+= 1
        var rest = line[...]
        guard let start = Self.number(&rest), let size = Self.number(&rest), size > 0 else { continue }
        if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
        guard let first = rest.first, first != 0, !start.addingReportingOverflow(size).overflow else { continue }
        let name = rest.prefix(Self.maximumNameLength)
        guard entries.count + added.count < Self.maximumCount, names.count + name.count <= Self.maximumNameBytes else {
          isCut = true
          return
        }
        added.append(
          Entry(
            start: start, size: UInt32(clamping: size), name: UInt32(names.count), order: lastOrder,
            nameLength: UInt16(name.count)))
        names.append(contentsOf: name)
      }
    }
    merge(added)
  }

  /// Takes new entries in among the old ones, which are sorted already.
  private mutating func merge(_ added: [Entry]) {
    guard !added.isEmpty else { return }
    func comesFirst(_ left: Entry, _ right: Entry) -> Bool { (left.start, left.order) < (right.start, right.order) }
    let added = added.sorted(by: comesFirst)
    guard !entries.isEmpty else {
      entries = added
      return
    }
    var merged: [Entry] = []
    merged.reserveCapacity(entries.count + added.count)
    var next = 0
    for entry in entries {
      while next < added.count, comesFirst(added[next], entry) {
        merged.append(added[next])
        next += 1
      }
      merged.append(entry)
    }
    merged += added[next...]
    entries = merged
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
      if address &- entry.start < UInt64(entry.size), entry.order > best?.order ?? 0 { best = entry }
    }
    return best.map { entry in
      let start = Int(entry.name)
      return Match(
        name: String(decoding: names[start..<(start + Int(entry.nameLength))], as: UTF8.self),
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
