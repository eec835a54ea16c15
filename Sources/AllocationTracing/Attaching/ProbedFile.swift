import Glibc
import ProcessImage

/// The file of an object in which probes are put: the very file that was parsed, through the same descriptor. Between the
/// two neither a path is followed nor another file opened, so whoever owns the file's directory cannot bring in another one.
final class ProbedFile {
  private let elf: ElfFile
  /// What stands at the chosen places, by file offset, as it was when they were chosen.
  private var expected: [UInt64: [UInt8]] = [:]

  init(_ elf: ElfFile) { self.elf = elf }

  /// A path that always leads to this file, also when the process has ended or the file was removed.
  var path: String { "/proc/self/fd/\(elf.descriptor)" }

  /// Why a place is not probed.
  enum Mismatch: Error, CustomStringConvertible {
    case outsideOfFile(UInt64)
    case rewritten(UInt64)
    case unsafe(UInt64)

    var description: String {
      switch self {
      case .outsideOfFile(let offset): "the place at offset 0x\(String(offset, radix: 16)) is not in the file"
      case .rewritten(let offset): "the code at offset 0x\(String(offset, radix: 16)) was rewritten"
      case .unsafe(let offset):
        "a probe at offset 0x\(String(offset, radix: 16)) would end forked children on this kernel"
      }
    }
  }

  /// As long as the longest instruction of the processor, and one more: an attach reads as much.
  private static let length = 17

  /// Remembers what the copy that was parsed has at the places that were chosen in it. To be called before the copy's pages
  /// are released.
  func choose(_ offsets: [UInt64]) {
    for offset in offsets where expected[offset] == nil { expected[offset] = code(at: offset) }
  }

  private func code(at offset: UInt64) -> [UInt8] {
    guard !elf.isIncomplete, offset < UInt64(elf.size) else { return [] }
    let count = min(UInt64(Self.length), UInt64(elf.size) &- offset)
    return elf.bytes.slice(at: offset, size: count).map(Array.init) ?? []
  }

  /// Checks that the file still has at chosen places what it had when they were chosen: there, an instruction begins. Reads
  /// the pages that will be probed as well; if the attach itself has to read them, some kernels log a warning.
  func verify(_ offsets: [UInt64]) throws(Mismatch) {
    for offset in offsets {
      guard let code = expected[offset], !code.isEmpty, let position = off_t(exactly: offset) else {
        throw .outsideOfFile(offset)
      }
      var present = [UInt8](repeating: 0, count: code.count)
      guard pread(elf.descriptor, &present, present.count, position) == present.count, present == code else {
        throw .rewritten(offset)
      }
      let isUnsafe = code.withUnsafeBytes { UprobeEmulation.runningKernel.endsForkedChildren(probedAt: $0) }
      if isUnsafe { throw .unsafe(offset) }
    }
  }
}
