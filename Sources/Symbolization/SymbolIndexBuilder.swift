import CElfUtils
import Glibc
import ProcessImage

/// Collects the functions of an object from all its symbol tables and picks one name per address.
struct SymbolIndexBuilder {
  struct Candidate {
    var offset: UInt32
    var size: UInt32
    var name: UInt32
    /// A rank: the smaller it is, the better people know the name, as far as the entry's flags tell.
    var rank: UInt32
  }

  private(set) var base: UInt64 = 0
  /// One string table per `SymbolIndex.Source`.
  private(set) var strings: [UnsafeRawBufferPointer]
  /// The executable sections, or segments where section headers are missing.
  private(set) var codeRanges: [Range<UInt64>] = []

  /// Objects that are linked have a dozen executable sections. They are searched one by one.
  private static let maximumRangeCount = 1024

  private let file: ElfFile
  private let separate: ElfFile?
  private let segments: [Range<UInt64>]
  private var candidates: [Candidate] = []

  init(file: ElfFile, separate: ElfFile?) {
    self.file = file
    self.separate = separate
    let empty = UnsafeRawBufferPointer(start: file.bytes.baseAddress, count: 0)
    strings = SymbolIndex.Source.allCases.map { _ in empty }
    segments = file.loadSegments.filter(\.isExecutable).compactMap {
      Self.range(start: $0.virtualAddress, size: $0.memorySize)
    }
    base = segments.map(\.lowerBound).min() ?? 0
    codeRanges = file.sections.filter {
      $0.flags & UInt64(SHF_EXECINSTR) != 0 && $0.flags & UInt64(SHF_ALLOC) != 0
    }.compactMap { Self.range(start: $0.address, size: $0.size) }
    if codeRanges.isEmpty || codeRanges.count > Self.maximumRangeCount { codeRanges = segments }
  }

  mutating func collect() {
    let full = file.symbolTable(.full)
    let dynamic = file.symbolTable(.dynamic)
    let other = full == nil ? separate?.symbolTable(.full) : nil
    candidates.reserveCapacity((full?.count ?? 0) + (dynamic?.count ?? 0) + (other?.count ?? 0))
    if let full { add(full, source: .full) }
    if let other { add(other, source: .separate) }
    if let dynamic {
      add(dynamic, source: .dynamic)
      strings[Int(SymbolIndex.Source.linkage.rawValue)] = dynamic.strings
      for stub in ProcedureLinkage.stubs(of: file) {
        add(
          address: stub.address, size: stub.size, name: stub.nameOffset, source: .linkage,
          rank: Rank.linkage)
      }
    }
  }

  private enum Rank {
    static let localFunction: UInt32 = 1
    static let label: UInt32 = 2
    static let linkage: UInt32 = 3
  }

  private mutating func add(_ table: ElfFile.SymbolTableView, source: SymbolIndex.Source) {
    guard let entries = table.entries.baseAddress, table.count > 1 else { return }
    strings[Int(source.rawValue)] = table.strings
    let stringsCount = table.strings.count
    for index in 1..<table.count {
      let symbol = entries.loadUnaligned(
        fromByteOffset: index &* MemoryLayout<Elf64_Sym>.size, as: Elf64_Sym.self)
      guard symbol.st_shndx != UInt16(SHN_UNDEF), symbol.st_name != 0,
        Int(symbol.st_name) < stringsCount
      else { continue }
      var rank: UInt32
      switch symbol.st_info & 15 {
      case UInt8(STT_FUNC), UInt8(STT_GNU_IFUNC): rank = 0
      case UInt8(STT_NOTYPE):
        // Absolute symbols are left out: they are numbers that happen to look like addresses.
        guard symbol.st_shndx < UInt16(SHN_LORESERVE) else { continue }
        rank = Rank.label
      default: continue
      }
      if rank == 0, symbol.st_info >> 4 == UInt8(STB_LOCAL) { rank = Rank.localFunction }
      add(
        address: symbol.st_value, size: symbol.st_size, name: symbol.st_name, source: source,
        rank: rank)
    }
  }

  private mutating func add(
    address: UInt64, size: UInt64, name: UInt32, source: SymbolIndex.Source, rank: UInt32
  ) {
    guard name < 1 << 30, address >= base, address &- base <= UInt64(UInt32.max),
      segments.contains(where: { $0.contains(address) })
    else { return }
    candidates.append(
      Candidate(
        offset: UInt32(truncatingIfNeeded: address &- base), size: UInt32(clamping: size),
        name: source.rawValue << 30 | name, rank: rank))
  }

  /// The candidates by address, one for each.
  mutating func sortedUniqueCandidates() -> [Candidate] {
    sortByOffset()
    var count = 0
    var index = 0
    var coveredEnd: UInt64 = 0
    while index < candidates.count {
      var best = candidates[index]
      var size = best.size
      index += 1
      while index < candidates.count, candidates[index].offset == best.offset {
        size = max(size, candidates[index].size)
        if isBetterKnown(candidates[index], than: best) { best = candidates[index] }
        index += 1
      }
      if best.size == 0 { best.size = size }
      if best.size == 0 {
        // A label inside a function, not a function.
        if UInt64(best.offset) < coveredEnd { continue }
      } else {
        coveredEnd = max(coveredEnd, UInt64(best.offset) + UInt64(best.size))
      }
      candidates[count] = best
      count += 1
    }
    return Array(candidates[..<count])
  }

  /// Stable radix sort: comparing costs ten times as much with the 200,000 symbols of a large program.
  private mutating func sortByOffset() {
    var other = [Candidate](
      repeating: Candidate(offset: 0, size: 0, name: 0, rank: 0), count: candidates.count)
    for shift in [0, 11, 22] as [UInt32] {
      var starts = [Int](repeating: 0, count: 2049)
      for candidate in candidates { starts[Int(candidate.offset >> shift & 2047) + 1] += 1 }
      for bucket in 1..<starts.count { starts[bucket] += starts[bucket - 1] }
      for candidate in candidates {
        let bucket = Int(candidate.offset >> shift & 2047)
        other[starts[bucket]] = candidate
        starts[bucket] += 1
      }
      swap(&candidates, &other)
    }
  }

  /// Which of two names for one address people know it by: functions before labels, exported before local, `malloc` before
  /// `__libc_malloc`, plain before versioned, then the shorter one.
  private func isBetterKnown(_ left: Candidate, than right: Candidate) -> Bool {
    if left.rank != right.rank { return left.rank < right.rank }
    let leftName = nameBytes(left)
    let rightName = nameBytes(right)
    let leftUnderscores = Self.leadingUnderscores(leftName)
    let rightUnderscores = Self.leadingUnderscores(rightName)
    if leftUnderscores != rightUnderscores { return leftUnderscores < rightUnderscores }
    let leftVersion = leftName.contains(UInt8(ascii: "@"))
    let rightVersion = rightName.contains(UInt8(ascii: "@"))
    if leftVersion != rightVersion { return rightVersion }
    if leftName.count != rightName.count { return leftName.count < rightName.count }
    return leftName.lexicographicallyPrecedes(rightName)
  }

  private func nameBytes(_ candidate: Candidate) -> UnsafeRawBufferPointer {
    let table = strings[Int(candidate.name >> 30)]
    let start = table.baseAddress! + Int(candidate.name & 0x3fff_ffff)
    return UnsafeRawBufferPointer(
      start: start, count: strnlen(start.assumingMemoryBound(to: CChar.self), 4096))
  }

  /// Underscores in front of a name, except the one that manglings begin with.
  private static func leadingUnderscores(_ name: UnsafeRawBufferPointer) -> Int {
    let count = name.prefix { $0 == UInt8(ascii: "_") }.count
    if count == 1, name.count > 1,
      name[1] == UInt8(ascii: "Z") || name[1] == UInt8(ascii: "R") || name[1] == UInt8(ascii: "$")
    {
      return 0
    }
    return count
  }

  private static func range(start: UInt64, size: UInt64) -> Range<UInt64>? {
    let (end, overflow) = start.addingReportingOverflow(size)
    return overflow || size == 0 ? nil : start..<end
  }
}
