import CElfUtils
import Glibc
import ProcessImage

/// The functions of one object file, sorted by address: 12 bytes each, names left where the file has them.
struct SymbolIndex {
  /// Where a name comes from: the two upper bits of an entry of `names`.
  enum Source: UInt32, CaseIterable {
    /// `.symtab` of the object itself.
    case full = 0
    /// `.dynsym` of the object itself.
    case dynamic = 1
    /// `.symtab` of a separate debug file or of `.gnu_debugdata`.
    case separate = 2
    /// A name of `.dynsym`, to be followed by `@plt`.
    case linkage = 3
  }

  struct Match {
    /// The name, NUL-terminated, where it lies in the file.
    var name: UnsafePointer<CChar>
    /// Virtual address of the function's first byte.
    var start: UInt64
    var isLinkageStub: Bool
  }

  /// Virtual address that `offsets` count from.
  private let base: UInt64
  private let offsets: [UInt32]
  /// Bytes; 0 for functions of unknown size, which extend to the next.
  private let sizes: [UInt32]
  /// Source in the two upper bits, offset into its string table below.
  private let names: [UInt32]
  private let strings: [UnsafeRawBufferPointer]
  /// Executable address ranges, which also end functions of unknown size.
  private let codeRanges: [Range<UInt64>]
  /// Keeps the string tables mapped.
  private let files: [ElfFile]

  var count: Int { offsets.count }

  /// Reads the symbol tables of an object, and of the file that holds its debug symbols if there is one.
  init(file: ElfFile, separate: ElfFile?) {
    var builder = SymbolIndexBuilder(file: file, separate: separate)
    builder.collect()
    let sorted = builder.sortedUniqueCandidates()
    base = builder.base
    strings = builder.strings
    codeRanges = builder.codeRanges
    files = separate.map { [file, $0] } ?? [file]
    offsets = sorted.map(\.offset)
    sizes = sorted.map(\.size)
    names = sorted.map(\.name)
    file.releasePages()
    separate?.releasePages()
  }

  /// The function that covers a virtual address.
  func lookup(_ address: UInt64) -> Match? {
    guard address >= base, address &- base <= UInt64(UInt32.max) else { return nil }
    let offset = UInt32(truncatingIfNeeded: address &- base)
    var low = 0
    var high = offsets.count
    while low < high {
      let middle = (low + high) / 2
      if offsets[middle] <= offset { low = middle + 1 } else { high = middle }
    }
    // Functions nest in hand-written code: one that starts earlier may still cover the address.
    var index = low - 1
    let last = max(-1, index - 32)
    while index > last {
      let size = sizes[index]
      if size > 0 {
        if UInt64(offset) < UInt64(offsets[index]) + UInt64(size) { return match(index) }
      } else if index == low - 1, isInSameRange(base &+ UInt64(offsets[index]), address) {
        return match(index)
      }
      index -= 1
    }
    return nil
  }

  private func match(_ index: Int) -> Match {
    let name = names[index]
    let source = Int(name >> 30)
    let offset = Int(name & 0x3fff_ffff)
    return Match(
      name: (strings[source].baseAddress! + offset).assumingMemoryBound(to: CChar.self),
      start: base &+ UInt64(offsets[index]), isLinkageStub: source == Int(Source.linkage.rawValue))
  }

  private func isInSameRange(_ start: UInt64, _ address: UInt64) -> Bool {
    codeRanges.first { $0.contains(start) }?.contains(address) ?? false
  }
}
