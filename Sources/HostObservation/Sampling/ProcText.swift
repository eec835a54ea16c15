/// Reads the texts of /proc and of control groups byte by byte. Nothing here allocates: thousands of these files are read
/// each time the host is looked at.
package typealias Bytes = UnsafeRawBufferPointer

package enum ProcText {
  /// Calls `body` with the name and the number of each line of the form `Name:  1234 kB` or `name 1234`. Lines without a
  /// number are left out; units are not looked at.
  package static func forEachField(_ text: Bytes, _ body: (_ name: Bytes, _ value: UInt64) -> Void) {
    forEachLine(text) { line in
      var end = 0
      while end < line.count, line[end] != 0x3a, line[end] != 0x20, line[end] != 0x09 { end += 1 }
      guard end > 0, end < line.count else { return }
      var place = end
      while place < line.count, line[place] == 0x3a || line[place] == 0x20 || line[place] == 0x09 { place += 1 }
      guard let value = number(line, &place) else { return }
      body(Bytes(rebasing: line[..<end]), value)
    }
  }

  package static func forEachLine(_ text: Bytes, _ body: (Bytes) -> Void) {
    var start = 0
    while start < text.count {
      var end = start
      while end < text.count, text[end] != 0x0a { end += 1 }
      if end > start { body(Bytes(rebasing: text[start..<end])) }
      start = end + 1
    }
  }

  /// The decimal number at `place`, which is moved behind it; nil, and `place` unmoved, where there is none or one that is
  /// too great.
  package static func number(_ text: Bytes, _ place: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var end = place
    while end < text.count, text[end] >= 0x30, text[end] <= 0x39 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(text[end] - 0x30))
      if overflow || carry { return nil }
      value = sum
      end += 1
    }
    if end == place { return nil }
    place = end
    return value
  }

  /// The only number of a file such as `memory.current`; nil for anything else, `max` included.
  package static func soleNumber(_ text: Bytes) -> UInt64? {
    var place = 0
    guard let value = number(text, &place) else { return nil }
    while place < text.count {
      guard text[place] == 0x0a || text[place] == 0x20 else { return nil }
      place += 1
    }
    return value
  }

  package static func equals(_ text: Bytes, _ word: StaticString) -> Bool {
    text.count == word.utf8CodeUnitCount && hasPrefix(text, word)
  }

  package static func hasPrefix(_ text: Bytes, _ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard text.count >= count else { return false }
    for place in 0..<count where text[place] != word.utf8Start[place] { return false }
    return true
  }
}

extension UInt64 {
  /// Kibibytes as bytes; saturates.
  var kibibytes: UInt64 {
    let (bytes, overflow) = multipliedReportingOverflow(by: 1024)
    return overflow ? .max : bytes
  }
}
