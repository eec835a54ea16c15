import Glibc

/// Functions of an installed shared library, read from its section headers; for tests only, on trusted files.
struct LibraryFunctions {
  struct Function {
    var address: UInt64
    var code: [UInt8]
  }
  var functions: [String: Function] = [:]
  /// Lower-case hexadecimal, empty when there is none.
  var buildID = ""

  /// Nil when the library is not installed.
  init?(path: String) {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    fseek(file, 0, SEEK_END)
    var image = [UInt8](repeating: 0, count: ftell(file))
    rewind(file)
    guard fread(&image, 1, image.count, file) == image.count else { return nil }
    image.withUnsafeBytes { parse($0) }
  }

  private mutating func parse(_ image: UnsafeRawBufferPointer) {
    func load<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type = T.self) -> T {
      T(littleEndian: image.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    let sectionTable = Int(load(0x28, UInt64.self))
    let sectionCount = Int(load(0x3c, UInt16.self))
    var sections: [(type: UInt32, address: UInt64, offset: Int, size: Int, link: Int)] = []
    for index in 0..<sectionCount {
      let header = sectionTable + index * 64
      sections.append(
        (
          load(header + 4), load(header + 16), Int(load(header + 24, UInt64.self)),
          Int(load(header + 32, UInt64.self)), Int(load(header + 40, UInt32.self))
        ))
    }
    for section in sections where section.type == 7 {
      let nameSize = Int(load(section.offset, UInt32.self))
      guard load(section.offset + 8, UInt32.self) == 3, nameSize == 4 else { continue }
      let size = Int(load(section.offset + 4, UInt32.self))
      for byte in image[section.offset + 16..<section.offset + 16 + size] {
        let text = String(byte, radix: 16)
        buildID += text.count == 1 ? "0" + text : text
      }
    }
    for table in sections where table.type == 11 {
      let names = sections[table.link].offset
      for symbol in stride(from: table.offset, to: table.offset + table.size, by: 24) {
        let sectionIndex = Int(load(symbol + 6, UInt16.self))
        guard image[symbol + 4] & 15 == 2, sectionIndex > 0, sectionIndex < sections.count else {
          continue
        }
        let name = String(
          decoding: image[(names + Int(load(symbol, UInt32.self)))...].prefix { $0 != 0 },
          as: UTF8.self)
        let address: UInt64 = load(symbol + 8)
        let size = Int(load(symbol + 16, UInt64.self))
        let section = sections[sectionIndex]
        let start = section.offset + Int(address - section.address)
        functions[name] = Function(address: address, code: [UInt8](image[start..<start + size]))
      }
    }
  }
}
