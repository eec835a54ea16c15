import CElfUtils

extension ElfFile {
  /// The entries of the dynamic segment as (tag, value), without the terminating `DT_NULL`.
  package var dynamicEntries: [(tag: Int64, value: UInt64)] {
    guard let header = programHeaders.first(where: { $0.type == UInt32(PT_DYNAMIC) }),
      let table = bytes.slice(at: header.fileOffset, size: header.fileSize)
    else { return [] }
    var entries: [(tag: Int64, value: UInt64)] = []
    var offset: UInt64 = 0
    while let tag = table.value(at: offset, as: Int64.self), tag != Int64(DT_NULL),
      let value = table.value(at: offset &+ 8, as: UInt64.self), entries.count < 4096
    {
      entries.append((tag, value))
      offset &+= UInt64(MemoryLayout<Elf64_Dyn>.size)
    }
    return entries
  }

  /// The names of the shared objects that this one needs (`DT_NEEDED`), in the order of the file.
  package var neededLibraries: [String] {
    let entries = dynamicEntries
    guard let strings = dynamicStrings(entries) else { return [] }
    return entries.compactMap { $0.tag == Int64(DT_NEEDED) ? strings.string(at: $0.value) : nil }
  }

  /// The name by which other objects refer to this one (`DT_SONAME`).
  package var sharedObjectName: String? {
    let entries = dynamicEntries
    guard let strings = dynamicStrings(entries),
      let value = entries.first(where: { $0.tag == Int64(DT_SONAME) })?.value
    else { return nil }
    return strings.string(at: value)
  }

  /// The dynamic symbol table, found by `PT_DYNAMIC` alone. This is for files without section headers.
  func dynamicSymbolTable() -> SymbolTableView? {
    let entries = dynamicEntries
    func value(_ tag: some BinaryInteger) -> UInt64? {
      entries.first { $0.tag == Int64(tag) }?.value
    }
    guard let strings = dynamicStrings(entries), let symbols = value(DT_SYMTAB),
      let start = fileOffset(ofVirtualAddress: symbols)
    else { return nil }
    // The dynamic segment does not say how many symbols there are; only the hash tables tell.
    let count =
      value(DT_HASH).flatMap(symbolCount(ofHashTableAt:))
      ?? value(DT_GNU_HASH).flatMap(symbolCount(ofGNUHashTableAt:))
    guard let count else { return nil }
    let width = UInt64(MemoryLayout<Elf64_Sym>.size)
    let available = (UInt64(size) &- min(start, UInt64(size))) / width
    return bytes.slice(at: start, size: min(count, available) &* width)
      .map { SymbolTableView(entries: $0, strings: strings) }
  }

  private func dynamicStrings(
    _ entries: [(tag: Int64, value: UInt64)]
  ) -> UnsafeRawBufferPointer? {
    guard let table = entries.first(where: { $0.tag == Int64(DT_STRTAB) })?.value,
      let length = entries.first(where: { $0.tag == Int64(DT_STRSZ) })?.value,
      let start = fileOffset(ofVirtualAddress: table), start <= UInt64(size)
    else { return nil }
    return bytes.slice(at: start, size: min(length, UInt64(size) &- start))
  }

  private func symbolCount(ofHashTableAt address: UInt64) -> UInt64? {
    // The table begins with nbucket and nchain. nchain is the number of symbols, because the chain has one entry for
    // each.
    fileOffset(ofVirtualAddress: address)
      .flatMap { bytes.value(at: $0 &+ 4, as: UInt32.self) }.map(UInt64.init)
  }

  private func symbolCount(ofGNUHashTableAt address: UInt64) -> UInt64? {
    guard let table = fileOffset(ofVirtualAddress: address),
      let bucketCount = bytes.value(at: table, as: UInt32.self),
      let firstHashed = bytes.value(at: table &+ 4, as: UInt32.self),
      let filterWords = bytes.value(at: table &+ 8, as: UInt32.self), UInt64(bucketCount) <= ElfLimits.hashBuckets
    else { return nil }
    let buckets = table &+ 16 &+ UInt64(filterWords) &* 8
    let chains = buckets &+ UInt64(bucketCount) &* 4
    var last: UInt32 = 0
    for index in 0..<UInt64(bucketCount) {
      guard let first = bytes.value(at: buckets &+ index &* 4, as: UInt32.self) else { return nil }
      last = max(last, first)
    }
    guard last >= firstHashed else { return UInt64(firstHashed) }
    // In the chain of the last bucket, the entry whose low bit is set is the last one, and that is the last symbol.
    for _ in 0..<ElfLimits.hashChain {
      guard let hash = bytes.value(at: chains &+ UInt64(last &- firstHashed) &* 4, as: UInt32.self) else { break }
      last &+= 1
      if hash & 1 != 0 || last == .max { return UInt64(last) }
    }
    return nil
  }
}
