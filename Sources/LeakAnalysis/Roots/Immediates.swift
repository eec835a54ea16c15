import ProcessImage
import TraceModel

/// Pointers in code that was made at run time, where they are operands of instructions and lie at any byte.
enum Immediates {
  /// More is not searched: compiled code of a large program takes some tens of megabytes.
  private static let mostBytes: UInt64 = 64 << 20
  private static let window = 1 << 18
  /// More are not followed. A process can fill memory that it may execute with pointers.
  private static let mostWords = 1 << 20

  /// The words in executable memory of no file's for which `isBlock` is true, as far as they are not aligned: aligned ones
  /// are found with those of other memory. Each is there once.
  ///
  /// - Returns: the words, and whether there are more.
  static func find(
    in mappings: [Mapping], memory: some ScannableMemory, isBlock: (UInt64) -> Bool
  ) -> (words: Set<UInt64>, isCut: Bool) {
    var words: Set<UInt64> = []
    var left = mostBytes
    var buffer = [UInt8](repeating: 0, count: window + 8)
    for mapping in mappings where mapping.permissions.isSuperset(of: [.read, .execute]) && isGenerated(mapping) {
      var address = mapping.start
      while left > 0, let part = memory.nextResident(in: address..<mapping.end), !part.isEmpty {
        let wanted = Int(min(UInt64(window), part.upperBound - part.lowerBound, left))
        // Some more, for words that reach behind the window.
        let more = Int(min(8, mapping.end - part.lowerBound - UInt64(wanted)))
        let read = buffer.withUnsafeMutableBytes {
          memory.read(at: part.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<(wanted + more)]))
        }
        left -= UInt64(wanted)
        buffer.withUnsafeBytes { bytes in
          for offset in 0..<max(0, min(wanted, read - 7)) where (part.lowerBound &+ UInt64(offset)) & 7 != 0 {
            let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            // Most words are no addresses of a program at all.
            guard word >> 47 == 0, word >= 1 << 16, isBlock(word) else { continue }
            words.insert(word)
            if words.count >= mostWords { return }
          }
        }
        if words.count >= mostWords { return (words, true) }
        address = part.lowerBound &+ UInt64(wanted)
        if read < wanted { address = ((part.lowerBound &+ UInt64(max(0, read))) | 4095) &+ 1 }
        if address >= mapping.end { break }
      }
      if left == 0 { break }
    }
    return (words, false)
  }

  private static func isGenerated(_ mapping: Mapping) -> Bool {
    mapping.inode == 0 && !mapping.path.hasPrefix("[v") && mapping.path != "[uprobes]"
      || mapping.path.hasPrefix("/memfd:") || mapping.permissions.contains(.write)
  }
}
