import ProcessImage

/// The frames of exit(3) on the stack of a thread that ends its process. What they hold beside the registers of who called
/// it is of no use to anybody; what they have not written is left over from functions that ran there before.
struct ExitFrames {
  /// From here on the stack is in use.
  let liveStart: UInt64
  /// A word further up that aligns the frame of exit(3), if there is one.
  let padding: Range<UInt64>?

  /// Registers that a function pushes for its caller, right below its return address.
  private static let pushedBytes: UInt64 = 48
  /// More than the two functions' frames take in any build of glibc.
  private static let mostWords = 48
  /// More than the function that runs exit handlers takes.
  private static let mostCodeBytes: UInt64 = 4096

  /// Finds them where exit(3) has called the function that runs handlers, and that one _exit(2). When a handler has, its
  /// frames are above, and everything counts.
  ///
  /// - Parameters:
  ///   - stackPointer: where _exit(2) has its return address.
  ///   - code: where exit(3) and functions like it lie.
  init?(at stackPointer: UInt64, code: [Range<UInt64>], memory: some MemoryReader) {
    guard !code.isEmpty else { return nil }
    let words = memory.words(at: stackPointer, count: Self.mostWords)
    guard let place = words.firstIndex(where: { word in code.contains { $0.contains(word) } }), place > 0 else {
      return nil
    }
    // call rel32, 5 bytes.
    let target = words[place]
    guard memory.value(at: target &- 5, as: UInt8.self) == 0xe8,
      let distance = memory.value(at: target &- 4, as: Int32.self)
    else { return nil }
    let handlers = target &+ UInt64(bitPattern: Int64(distance))
    guard words[0] > handlers, words[0] - handlers < Self.mostCodeBytes else { return nil }
    let returnPlace = stackPointer + UInt64(place) * 8
    liveStart = max(stackPointer + 8, returnPlace - min(returnPlace, Self.pushedBytes))
    let function = code.first { $0.contains(target) }
    padding = Self.alignsOnly(function, memory) ? returnPlace + 8..<returnPlace + 16 : nil
  }

  /// Whether the function keeps nothing on the stack but one word that aligns it: then it begins with `sub $8, %rsp`,
  /// perhaps behind `endbr64`.
  private static func alignsOnly(_ function: Range<UInt64>?, _ memory: some MemoryReader) -> Bool {
    let (subtract, endBranch): (UInt32, UInt32) = (0x08ec_8348, 0xfa1e_0ff3)
    guard var start = function?.lowerBound else { return false }
    if memory.value(at: start, as: UInt32.self) == endBranch { start += 4 }
    return memory.value(at: start, as: UInt32.self) == subtract
  }
}
