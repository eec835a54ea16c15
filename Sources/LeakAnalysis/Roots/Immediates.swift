import ProcessImage
import TraceModel

/// Pointers in code that was made at run time, where they are operands of instructions and lie at any byte.
///
/// The code is only copied while the process stands still, and searched when it runs again: each of its bytes can begin a word,
/// which takes eight times as long as searching other memory.
struct Immediates {
  /// More is not searched: compiled code of a large program takes some tens of megabytes.
  private static let mostBytes: UInt64 = 64 << 20
  private static let window = 1 << 18
  /// More are not followed. A process can fill memory that it may execute with pointers.
  private static let mostWords = 1 << 20

  /// Bytes of the process, with some behind for words that reach into the next piece.
  private struct Piece {
    var address: UInt64
    var count: Int
    var bytes: [UInt8]
  }
  private var pieces: [Piece] = []

  /// Copies executable memory that is no file's.
  init(copying mappings: [Mapping], memory: some ScannableMemory) {
    var left = Self.mostBytes
    for mapping in mappings where mapping.permissions.isSuperset(of: [.read, .execute]) && Self.isGenerated(mapping) {
      var address = mapping.start
      while left > 0, address < mapping.end, let part = memory.nextResident(in: address..<mapping.end), !part.isEmpty {
        let wanted = Int(min(UInt64(Self.window), part.upperBound - part.lowerBound, left))
        let more = Int(min(8, mapping.end - part.lowerBound - UInt64(wanted)))
        let bytes = [UInt8](unsafeUninitializedCapacity: wanted + more) { buffer, count in
          let read = memory.read(at: part.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
          count = max(0, min(wanted + more, read))
        }
        left -= UInt64(wanted)
        pieces.append(Piece(address: part.lowerBound, count: wanted, bytes: bytes))
        address = part.lowerBound &+ UInt64(wanted)
        if bytes.count < wanted { address = ((part.lowerBound &+ UInt64(bytes.count)) | 4095) &+ 1 }
      }
      if left == 0 { break }
    }
  }

  /// The words for which `isBlock` is true, as far as they are not aligned: aligned ones are found with those of other memory.
  /// Each is there once.
  ///
  /// - Returns: the words, and whether there are more.
  func find(isBlock: (UInt64) -> Bool) -> (words: Set<UInt64>, isCut: Bool) {
    var words: Set<UInt64> = []
    for piece in pieces {
      piece.bytes.withUnsafeBytes { bytes in
        for offset in 0..<max(0, min(piece.count, bytes.count - 7)) where (piece.address &+ UInt64(offset)) & 7 != 0 {
          let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
          // Most words are no addresses of a program at all.
          guard word >> 47 == 0, word >= 1 << 16, isBlock(word) else { continue }
          words.insert(word)
          if words.count >= Self.mostWords { return }
        }
      }
      if words.count >= Self.mostWords { return (words, true) }
    }
    return (words, false)
  }

  private static func isGenerated(_ mapping: Mapping) -> Bool {
    mapping.inode == 0 && !mapping.path.hasPrefix("[v") && mapping.path != "[uprobes]"
      || mapping.path.hasPrefix("/memfd:") || mapping.permissions.contains(.write)
  }
}
