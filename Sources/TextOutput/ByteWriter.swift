/// Bytes of a report as they come.
package struct ByteWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }
  package mutating func write(_ byte: UInt8) { bytes.append(byte) }
  package mutating func write(_ text: [UInt8]) { bytes.append(contentsOf: text) }

  /// Makes room for the rest when `done` of `all` like pieces have been written since there were `start` bytes: growing by
  /// doubling would take twice the memory at the end.
  package mutating func expectRest(since start: Int, done: Int, of all: Int) {
    guard done > 0, done < all else { return }
    let expected = (bytes.count - start) / done * (all - done)
    bytes.reserveCapacity(bytes.count + expected + expected / 16)
  }

  package mutating func line(_ text: String = "") {
    write(text)
    write(UInt8(ascii: "\n"))
  }
}
