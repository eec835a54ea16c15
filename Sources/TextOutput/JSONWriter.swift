import Quantities

/// Writes one JSON document on one line. Numbers are exact: integers as they are, times with nanoseconds.
package struct JSONWriter {
  package init() {}

  private var output = ByteWriter()
  /// Whether the container being written has an element already, innermost last.
  private var hasElement: [Bool] = []
  private var followsKey = false

  package var bytes: [UInt8] { output.bytes }

  package mutating func endLine() { output.write(UInt8(ascii: "\n")) }

  private mutating func separate() {
    if followsKey {
      followsKey = false
      return
    }
    guard let last = hasElement.indices.last else { return }
    if hasElement[last] { output.write(UInt8(ascii: ",")) }
    hasElement[last] = true
  }

  package mutating func object(_ body: (inout JSONWriter) -> Void) {
    separate()
    output.write(UInt8(ascii: "{"))
    hasElement.append(false)
    body(&self)
    hasElement.removeLast()
    output.write(UInt8(ascii: "}"))
  }

  package mutating func array<Elements: Sequence>(
    _ elements: Elements, _ body: (inout JSONWriter, Elements.Element) -> Void
  ) {
    separate()
    output.write(UInt8(ascii: "["))
    hasElement.append(false)
    let start = output.bytes.count
    let count = elements.underestimatedCount
    for (index, element) in elements.enumerated() {
      body(&self, element)
      if count > 1000, index == 199 { output.expectRest(since: start, done: 200, of: count) }
    }
    hasElement.removeLast()
    output.write(UInt8(ascii: "]"))
  }

  package mutating func key(_ name: String) {
    string(name)
    output.write(UInt8(ascii: ":"))
    followsKey = true
  }

  /// A whole value that was written before, by a writer of its own.
  package mutating func raw(_ json: [UInt8]) {
    separate()
    output.write(json)
  }

  package mutating func null() {
    separate()
    output.write("null")
  }

  package mutating func bool(_ value: Bool) {
    separate()
    output.write(value ? "true" : "false")
  }

  package mutating func integer(_ value: some BinaryInteger) {
    separate()
    output.write(String(value))
  }

  /// Not-a-number and infinity have no form in JSON and become null.
  package mutating func number(_ value: Double) {
    separate()
    output.write(value.isFinite ? "\(value)" : "null")
  }

  package mutating func seconds(_ value: Duration) {
    separate()
    output.write(value.decimalSeconds)
  }

  package mutating func string(_ value: String) {
    separate()
    output.write(UInt8(ascii: "\""))
    if value.utf8.allSatisfy({ (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }) {
      output.write(value)
      output.write(UInt8(ascii: "\""))
      return
    }
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": output.write("\\\"")
      case "\\": output.write("\\\\")
      case "\n": output.write("\\n")
      case "\t": output.write("\\t")
      case _ where isUnsafe(scalar):
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          output.write("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
        }
      default: for byte in String(scalar).utf8 { output.write(byte) }
      }
    }
    output.write(UInt8(ascii: "\""))
  }

  // Members of an object, null when there is no value.
  package mutating func member(_ name: String, _ value: String?) {
    key(name)
    if let value { string(value) } else { null() }
  }
  package mutating func member(_ name: String, _ value: (some BinaryInteger)?) {
    key(name)
    if let value { integer(value) } else { null() }
  }
  package mutating func member(_ name: String, _ value: Double?) {
    key(name)
    if let value { number(value) } else { null() }
  }
  package mutating func member(_ name: String, _ value: Bool) {
    key(name)
    bool(value)
  }
  package mutating func member(_ name: String, _ value: Duration?) {
    key(name)
    if let value { seconds(value) } else { null() }
  }
}
