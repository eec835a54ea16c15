import Glibc
import ProcessImage

/// Finds a few names in the text of `/proc/kallsyms`, which ends with a NUL, without a table of all of them.
enum KernelSymbolSearch {
  /// Address and type of a line.
  private struct Line {
    var address: UInt64
    /// In lower case.
    var type: UInt8
    /// Offset of the next line.
    var next: Int

    var isFunction: Bool { type == UInt8(ascii: "t") || type == UInt8(ascii: "w") }
  }

  /// From the first function of this name that the kernel itself has to the next one behind it.
  static func range(of name: String, in text: [UInt8], maximumSize: UInt64) -> Range<UInt64>? {
    text.withUnsafeBytes { bytes in
      guard let found = lines(named: name, in: bytes).first(where: \.isFunction) else { return nil }
      var next = found.next
      while let line = line(at: next, in: bytes) {
        if line.isFunction, line.address > found.address {
          return found.address..<min(line.address, found.address &+ maximumSize)
        }
        // The functions of modules come behind the kernel's own, in no order.
        if line.isFunction, line.address < found.address { break }
        next = line.next
      }
      return found.address..<(found.address &+ maximumSize)
    }
  }

  /// Whether a module, or what counts as one, has something of this name.
  static func isInModule(_ name: String, _ text: [UInt8]) -> Bool {
    text.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return strstr(base.assumingMemoryBound(to: CChar.self), " \(name)\t") != nil
    }
  }

  /// Address of a variable that the kernel itself has.
  static func dataAddress(of name: String, in text: [UInt8]) -> UInt64? {
    text.withUnsafeBytes { bytes in lines(named: name, in: bytes).first { !$0.isFunction }?.address }
  }

  /// Lines that end with this name: those of modules go on with the module's.
  private static func lines(named name: String, in text: UnsafeRawBufferPointer) -> [Line] {
    guard let base = text.baseAddress else { return [] }
    let characters = base.assumingMemoryBound(to: CChar.self)
    var found: [Line] = []
    var position = 0
    while position < text.count, let match = strstr(characters + position, " \(name)\n") {
      let offset = UnsafePointer(match) - characters
      var start = offset
      while start > 0, text[start - 1] != UInt8(ascii: "\n") { start -= 1 }
      if let line = line(at: start, in: text) { found.append(line) }
      position = offset + 1
    }
    return found
  }

  /// ADDRESS TYPE NAME; nil at the end, and where the kernel hides its addresses.
  private static func line(at start: Int, in text: UnsafeRawBufferPointer) -> Line? {
    var position = start
    var address: UInt64 = 0
    while position < text.count, position - start < 16, let digit = hexadecimalDigit(text[position]) {
      address = address << 4 | UInt64(digit)
      position += 1
    }
    guard address != 0, position + 3 < text.count, text[position] == UInt8(ascii: " ") else { return nil }
    let type = text[position + 1] | 0x20
    let end = memchr(text.baseAddress! + position, Int32(UInt8(ascii: "\n")), text.count - position)
    return Line(
      address: address, type: type, next: end.map { UnsafeRawPointer($0) - text.baseAddress! + 1 } ?? text.count)
  }
}
