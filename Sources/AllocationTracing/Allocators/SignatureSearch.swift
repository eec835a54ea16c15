import Allocators
import CElfUtils
import ProcessImage

/// Looks for known allocators in the code of a program that has no symbols.
///
/// A wrong match would put a probe into some other function. So a section of a library counts only if all of its functions
/// are there, byte by byte but for what the linker writes, at their places, and that in one place of the program only; and
/// where functions of several sections call each other, these calls must lead from one to the other.
struct SignatureSearch {
  /// An allocator that was found.
  struct Match {
    var signature: AllocatorSignature
    /// By the function's address.
    var functions: [(function: AllocatorSignature.Function, address: UInt64)]
  }

  private let file: ElfFile
  private let segments: [(address: UInt64, bytes: UnsafeRawBufferPointer)]
  /// An anchor that is found more often is none.
  private static let mostCandidates = 64

  init(_ file: ElfFile) {
    self.file = file
    segments = file.loadSegments.filter(\.isExecutable).compactMap { segment in
      file.contents(atVirtualAddress: segment.virtualAddress, size: segment.fileSize)
        .map { (segment.virtualAddress, $0) }
    }
  }

  /// Those that are surely there. Where two libraries have the same code, the first of them.
  func matches(_ signatures: [AllocatorSignature] = AllocatorSignature.all) -> [Match] {
    var known: Set<UInt64> = []
    return signatures.compactMap { signature in
      guard let match = match(signature), !match.functions.contains(where: { known.contains($0.address) }) else {
        return nil
      }
      known.formUnion(match.functions.map(\.address))
      return match
    }
  }

  private func match(_ signature: AllocatorSignature) -> Match? {
    let bases = signature.units.map(base)
    for (unit, base) in zip(signature.units, bases) {
      guard let base else { continue }
      guard unit.calls.allSatisfy({ leads($0, from: base, to: bases) }) else { return nil }
    }
    var functions: [(function: AllocatorSignature.Function, address: UInt64)] = []
    for (unit, base) in zip(signature.units, bases) {
      guard let base else { continue }
      functions += unit.functions.map { ($0, base &+ $0.offset) }
    }
    let names = functions.map(\.function.name)
    // Each once: a library that has a function in two forms links one of them.
    guard names.count(where: { $0 == "malloc" }) == 1, names.count(where: { $0 == "free" }) == 1 else { return nil }
    return Match(signature: signature, functions: functions)
  }

  /// The address of a unit's beginning; nil unless there is exactly one.
  private func base(of unit: AllocatorSignature.Unit) -> UInt64? {
    var found: UInt64?
    var candidates = 0
    for segment in segments {
      var rest = segment.bytes[...]
      while let hit = Self.find(unit.anchor, in: rest) {
        candidates += 1
        if candidates > Self.mostCandidates { return nil }
        let base = segment.address &+ UInt64(hit) &- unit.anchorOffset
        if unit.functions.allSatisfy({ isThere($0, at: base &+ $0.offset) }) {
          if found != nil { return nil }
          found = base
        }
        rest = segment.bytes[(hit + 1)...]
      }
    }
    return found
  }

  private func isThere(_ function: AllocatorSignature.Function, at address: UInt64) -> Bool {
    let size = min(function.size, AllocatorSignature.Function.hashedBytes)
    guard let code = file.contents(atVirtualAddress: address, size: size) else { return false }
    return function.matches(code)
  }

  /// Whether a call of one unit leads to where the other was found; true where that one is not linked in.
  private func leads(_ call: AllocatorSignature.Call, from base: UInt64, to bases: [UInt64?]) -> Bool {
    guard bases.indices.contains(call.unit), let other = bases[call.unit] else { return true }
    let place = base &+ call.offset
    guard let displacement = file.contents(atVirtualAddress: place, size: 4)?.value(at: 0, as: Int32.self) else {
      return false
    }
    return place &+ 4 &+ UInt64(bitPattern: Int64(displacement)) == other &+ call.target
  }

  /// The place of the first occurrence, counted as the buffer's own indices are.
  private static func find(_ wanted: [UInt8], in bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
    guard !wanted.isEmpty, bytes.count >= wanted.count, let start = bytes.base.baseAddress else { return nil }
    let place = celf_find(start + bytes.startIndex, bytes.count, wanted, wanted.count)
    return place < 0 ? nil : bytes.startIndex + place
  }
}

extension AllocatorObject {
  /// Adds the functions of known allocators, by their code, where the object is a static program without symbols; says in a
  /// note which and how.
  mutating func findBySignature(_ notes: inout [String]) {
    for match in SignatureSearch(file).matches() {
      var names: [String] = []
      for (known, address) in match.functions.sorted(by: { $0.address < $1.address }) {
        guard let function = AllocatorCatalog.functions.first(where: { $0.name == known.name }),
          let offset = file.fileOffset(ofVirtualAddress: address)
        else { continue }
        add(FoundFunction(function: function, address: address, fileOffset: offset, size: known.size, isCustom: false))
        names.append(known.name)
      }
      let shown = ["malloc", "free", "calloc", "realloc"].filter(names.contains)
      notes.append(
        "\(description.path) has no symbols: \(match.signature.name)'s \(shown.joined(separator: ", ")) "
          + (names.count > shown.count ? "and \(names.count - shown.count) more " : "")
          + "were found by their code, which is that of \(match.signature.package)")
    }
  }
}
