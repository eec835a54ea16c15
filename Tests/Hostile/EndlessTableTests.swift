import AllocationTracing
import CElfUtils
import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

/// Files of a few kilobytes that claim tables of gigabytes and terabytes.
@Suite struct EndlessTableTests {
  private let directory: TemporaryDirectory
  private let terabytes: UInt64 = 8 << 40

  init() throws { directory = try TemporaryDirectory() }

  private func open(_ file: ForgedFile) throws -> ElfFile {
    let path = directory.file("forged.so")
    try file.write(to: path)
    return try ElfFile(path: path)
  }

  private static let code = ForgedFile.Segment(type: PT_LOAD, address: 0, offset: 0, size: 1 << 32)

  /// Runs in a thread's own time: what does not end in it hangs.
  private func cpuSeconds(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let start = now()
    try body()
    return now() - start
  }

  /// 5.4 GB were taken for 8 TB of symbols.
  @Test func aSymbolTableOfTerabytesIsCut() throws {
    let file = try open(
      ForgedFile(
        sections: [
          .init(name: ".symtab", type: SHT_SYMTAB, offset: 1 << 20, size: terabytes - (1 << 20), link: 2),
          .init(name: ".strtab", type: SHT_STRTAB, bytes: Array("\0name\0".utf8)),
        ], segments: [Self.code], sizeInBytes: terabytes))
    let table = try #require(file.symbolTable(.full))
    #expect(table.isCut)
    #expect(table.count == ElfLimits.symbols)
    #expect(SymbolIndex(file: file, separate: nil).count == 0)
    // Who looks for allocators in it is told that it was not read to its end.
    let mapping = Mapping(
      start: 0x1000, end: 0x2000, fileOffset: 0, permissions: [.read, .execute], device: 1, inode: 2,
      path: "/forged.so", isDeleted: false)
    let plan = AllocatorDiscovery(processID: 1, mappings: [mapping]) { _ in file }.plan()
    #expect(
      plan.notes.contains(
        "/forged.so has more symbols than are read (4,194,304); allocator functions among the others are not traced"))
  }

  /// 16 GB were taken to look at all buckets.
  @Test func aHashTableOfGigabytesIsNotRead() throws {
    let base = UInt64(ForgedFile.contentStart)
    let dynamic: [UInt64] = [
      UInt64(DT_STRTAB), base, UInt64(DT_STRSZ), 8, UInt64(DT_SYMTAB), base, UInt64(DT_GNU_HASH), base + 0x1000, 0, 0,
    ]
    var table = [UInt8](repeating: 0, count: 0x1000)
    table += ForgedFile.bytes([UInt32.max, 1, 1, 0] as [UInt32])
    let size = UInt64(table.count)
    var forged = ForgedFile(
      sections: [
        .init(name: ".data", type: SHT_PROGBITS, bytes: table),
        .init(name: ".dynamic", type: SHT_PROGBITS, bytes: ForgedFile.bytes(dynamic)),
      ], sizeInBytes: 64 << 30)
    forged.segments = [
      .init(type: PT_LOAD, address: 0, offset: 0, size: 64 << 30),
      .init(type: PT_DYNAMIC, address: base + size, offset: base + size, size: UInt64(dynamic.count * 8)),
    ]
    let file = try open(forged)
    #expect(file.dynamicEntries.count == 4)
    #expect(file.symbolTable(.dynamic) == nil)
    #expect(ElfSymbolHashTable(file) == nil)
  }

  /// Each relocation was compared with all of the name: attaching never came to an end.
  @Test func manyRelocationsMayHaveOneLongName() throws {
    let count = 200_000
    let base = UInt64(ForgedFile.contentStart)
    let name = [UInt8](repeating: UInt8(ascii: "m"), count: 5 << 20)
    let strings = [0] + name + [0]
    var symbol = Elf64_Sym()
    symbol.st_name = 1
    let symbols = ForgedFile.bytes([Elf64_Sym(), symbol])
    var relocation = Elf64_Rela()
    relocation.r_info = 1 << 32 | 7
    let relocations = ForgedFile.bytes([Elf64_Rela](repeating: relocation, count: count))
    let tables = UInt64(strings.count + symbols.count)
    let dynamic: [UInt64] = [
      UInt64(DT_JMPREL), base + tables, UInt64(DT_PLTRELSZ), UInt64(relocations.count), 0, 0,
    ]
    let end = base + tables + UInt64(relocations.count)
    let file = try open(
      ForgedFile(
        sections: [
          .init(name: ".dynstr", type: SHT_STRTAB, bytes: strings),
          .init(name: ".dynsym", type: SHT_DYNSYM, bytes: symbols, link: 1),
          .init(name: ".rela.plt", type: SHT_RELA, bytes: relocations),
          .init(name: ".dynamic", type: SHT_PROGBITS, bytes: ForgedFile.bytes(dynamic)),
        ],
        segments: [
          .init(type: PT_LOAD, address: 0, offset: 0, size: 1 << 30),
          .init(type: PT_DYNAMIC, address: end, offset: end, size: UInt64(dynamic.count * 8)),
        ], sizeInBytes: 1 << 30))
    let seconds = cpuSeconds {
      #expect(ElfImports(file, wanted: [HashedSymbolName("malloc")]).isEmpty)
      #expect(ElfImports(file, wanted: [HashedSymbolName("m")]).isEmpty)
    }
    // 1 TB of names would take minutes on any host.
    #expect(seconds < 60)
  }

  /// Names were copied whole to find one that is like a mistyped one: 200,000 of 5 MB each.
  @Test func manySymbolsOfOneLongNameAreNotCopied() throws {
    let strings = [0] + [UInt8](repeating: UInt8(ascii: "m"), count: 5 << 20) + Array("\0pool_get\0".utf8)
    var symbol = Elf64_Sym()
    symbol.st_name = 1
    symbol.st_info = UInt8(STB_GLOBAL << 4 | STT_FUNC)
    symbol.st_shndx = 1
    var named = symbol
    named.st_name = UInt32(strings.count - "pool_get".utf8.count - 1)
    let symbols = ForgedFile.bytes([Elf64_Sym()] + [Elf64_Sym](repeating: symbol, count: 200_000) + [named])
    let file = try open(
      ForgedFile(
        sections: [
          .init(name: ".strtab", type: SHT_STRTAB, bytes: strings),
          .init(name: ".symtab", type: SHT_SYMTAB, bytes: symbols, link: 1),
        ], segments: [Self.code], sizeInBytes: 1 << 30))
    var options = AllocatorDiscovery.Options()
    options.customFunctions = [try CustomAllocatorSpec(parsingAllocate: "pool_gte:size=1")]
    let mapping = Mapping(
      start: 0x1000, end: 0x2000, fileOffset: 0, permissions: [.read, .execute], device: 1, inode: 2,
      path: "/forged.so", isDeleted: false)
    let discovery = AllocatorDiscovery(processID: 1, mappings: [mapping], options: options) { _ in file }
    let seconds = cpuSeconds {
      #expect(discovery.misspelling() == "--alloc pool_gte: process 1 has no such function; it has pool_get")
    }
    #expect(seconds < 60)
  }

  /// A name of 200 MB was taken whole, three times.
  @Test func aNameOfMegabytesIsCut() throws {
    let base = UInt64(ForgedFile.contentStart)
    let strings = [0] + [UInt8](repeating: UInt8(ascii: "n"), count: 8 << 20) + [0]
    var symbol = Elf64_Sym()
    symbol.st_name = 1
    symbol.st_info = UInt8(STB_GLOBAL << 4 | STT_FUNC)
    symbol.st_shndx = 1
    symbol.st_value = base
    symbol.st_size = 16
    let file = try open(
      ForgedFile(
        sections: [
          .init(name: ".strtab", type: SHT_STRTAB, bytes: strings),
          .init(name: ".symtab", type: SHT_SYMTAB, bytes: ForgedFile.bytes([Elf64_Sym(), symbol]), link: 1),
        ], segments: [Self.code], sizeInBytes: 1 << 32))
    let reader = ModuleReader(
      .init(object: file, separate: { nil }, supplement: { _ in nil }), options: SymbolizerOptions(),
      losses: NamingLosses())
    let name = try #require(reader.functions(at: base)?.first?.name)
    #expect(name == String(repeating: "n", count: SymbolText.maximumLength) + "…")
  }

  @Test func notesHaveAnEnd() throws {
    let file = try open(
      ForgedFile(
        segments: [.init(type: PT_NOTE, offset: 1 << 20, size: terabytes - (1 << 20))], sizeInBytes: terabytes))
    #expect(file.buildID == nil)
  }

  /// Its checksum took more than a minute, while nobody heard signals.
  @Test func aDebugFileOfTerabytesIsNotSummed() throws {
    let link = Array("forged.debug\0\0\0\0".utf8) + [1, 2, 3, 4]
    let file = try open(
      ForgedFile(sections: [.init(name: ".gnu_debuglink", type: SHT_PROGBITS, bytes: link)], segments: [Self.code]))
    try ForgedFile(segments: [Self.code], sizeInBytes: terabytes).write(to: directory.file("forged.debug"))
    let finder = SeparateDebugFile(directories: [], processID: nil)
    #expect(finder.find(for: file, path: directory.file("forged.so")) == nil)
  }

  /// Where the object's owner may not read what the name leads to.
  @Test func aDebugFileThatTheOwnerMayNotReadIsNotTaken() throws {
    let sum: UInt32 = 0
    let link = Array("forged.debug\0\0\0\0".utf8) + ForgedFile.bytes([sum])
    var forged = ForgedFile(sections: [.init(name: ".gnu_debuglink", type: SHT_PROGBITS, bytes: link)])
    forged.segments = [Self.code]
    let path = directory.file("forged.debug")
    try ForgedFile(segments: [Self.code]).write(to: path)
    let other = try ElfFile(path: path)
    let sumOfOther = celf_checksum(other.bytes.baseAddress!, other.size)
    forged.sections[0].bytes = Array("forged.debug\0\0\0\0".utf8) + ForgedFile.bytes([sumOfOther])
    let file = try open(forged)
    var finder = SeparateDebugFile(directories: [], processID: nil)
    finder.owner = geteuid() &+ 1
    chmod(path, 0o600)
    #expect(finder.find(for: file, path: directory.file("forged.so")) == nil)
    chmod(path, 0o604)
    #expect(finder.find(for: file, path: directory.file("forged.so")) != nil)
    finder.owner = geteuid()
    chmod(path, 0o600)
    #expect(finder.find(for: file, path: directory.file("forged.so")) != nil)
  }
}
