/// JSON that can stand in a script element or in a CDATA section: `<` and `>`, which appear in strings only, are
/// written as escapes.
func withoutMarkup(_ json: [UInt8]) -> [UInt8] {
  var result: [UInt8] = []
  result.reserveCapacity(json.count + json.count / 8)
  for byte in json {
    switch byte {
    case UInt8(ascii: "<"): result.append(contentsOf: Array("\\u003c".utf8))
    case UInt8(ascii: ">"): result.append(contentsOf: Array("\\u003e".utf8))
    default: result.append(byte)
    }
  }
  return result
}
