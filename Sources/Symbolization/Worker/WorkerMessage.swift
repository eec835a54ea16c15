/// A message between leaktrace and its worker: four bytes with the length of the rest, then numbers and texts.
struct MessageWriter {
  private(set) var bytes: [UInt8] = [0, 0, 0, 0]

  mutating func put(_ number: some FixedWidthInteger & BitwiseCopyable) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// A text, or that there is none.
  mutating func put(_ text: String?) {
    guard var text else { return put(UInt32.max) }
    text.withUTF8 { utf8 in
      put(UInt32(utf8.count))
      bytes.append(contentsOf: utf8)
    }
  }

  /// The message with its length.
  var finished: [UInt8] {
    var message = bytes
    let length = UInt32(bytes.count - 4).littleEndian
    withUnsafeBytes(of: length) { message.replaceSubrange(0..<4, with: $0) }
    return message
  }
}

/// Reads a message, which may say anything: a worker that has fallen to a hostile file is hostile, too.
struct MessageReader {
  private let bytes: [UInt8]
  private var position = 0
  /// Whether the message was shorter than what was read, or a text longer than texts may be.
  private(set) var failed = false

  /// Longer messages and texts are refused.
  static let maximumLength = 1 << 20
  private static let maximumTextLength: UInt32 = 1 << 17

  /// - Parameter bytes: a message without its length.
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> Number {
    let size = MemoryLayout<Number>.size
    guard bytes.count - position >= size else {
      failed = true
      return 0
    }
    defer { position += size }
    return bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Number.self)) }
  }

  mutating func text() -> String? {
    let length = number(UInt32.self)
    guard !failed, length != .max else { return nil }
    guard length <= Self.maximumTextLength, bytes.count - position >= Int(length) else {
      failed = true
      return nil
    }
    defer { position += Int(length) }
    return String(decoding: bytes[position..<(position + Int(length))], as: UTF8.self)
  }
}

/// What a worker is asked for, by the first byte of a message.
enum WorkerRequest: UInt8 {
  /// The limits; once, before it gives up its privileges.
  case configure = 1
  /// Takes over the files of a module: the descriptors come with the message.
  case open
  case functions
  case variable
  case demangle
}

extension MessageWriter {
  mutating func put(_ functions: [Module.Function]) {
    put(UInt16(clamping: functions.count))
    for function in functions.prefix(Int(UInt16.max)) {
      put(function.name)
      put(function.linkageName)
      put(function.start ?? 0)
      put(UInt8(function.start == nil ? 0 : 1))
      put(function.file)
      put(UInt32(clamping: function.line ?? 0))
    }
  }
}

extension MessageReader {
  mutating func functions() -> [Module.Function] {
    let count = number(UInt16.self)
    var functions: [Module.Function] = []
    for _ in 0..<count where !failed {
      let name = text()
      let linkageName = text()
      let start = number(UInt64.self)
      let hasStart = number(UInt8.self) == 1
      let file = text()
      let line = number(UInt32.self)
      functions.append(
        Module.Function(
          name: name, linkageName: linkageName, start: hasStart ? start : nil, file: file,
          line: line == 0 ? nil : Int(line)))
    }
    return functions
  }
}
