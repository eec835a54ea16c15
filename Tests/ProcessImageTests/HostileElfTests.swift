import CElfUtils
import Glibc
import TestTools
import Testing

@testable import ProcessImage

/// Files made to break their readers. A failure of the mutation tests is a crash, a trap or a hang.
@Suite struct HostileElfTests {
  private func build(_ directory: TemporaryDirectory) throws -> String {
    let source = try directory.write(
      "victim.c",
      "int f(int a) { return a * 3; }\nint main(int c, char **v) { return f(c) + v[0][0]; }\n")
    let path = directory.file("victim")
    try run(["gcc", "-O1", "-Wl,--hash-style=both", "-rdynamic", "-o", path, source])
    return path
  }

  /// Asks everything of a file. The result is only there to be used.
  private func exercise(_ file: ElfFile) -> Int {
    var sum = 0
    for table in ElfFile.SymbolTable.allCases {
      file.forEachSymbol(in: table) { symbol in
        sum &+=
          strlen(symbol.name) &+ Int(truncatingIfNeeded: symbol.value) &+ Int(symbol.kind.rawValue)
      }
    }
    for section in file.sections {
      sum &+= file.section(named: section.name)?.index ?? 0
      if let contents = file.contents(of: section), !contents.isEmpty {
        sum &+= Int(contents[0]) &+ Int(contents[contents.count - 1])
      }
      sum &+= Int(truncatingIfNeeded: file.fileOffset(ofVirtualAddress: section.address) ?? 0)
      sum &+= Int(truncatingIfNeeded: file.virtualAddress(ofFileOffset: section.offset) ?? 0)
    }
    for address in [0, 0x1000, 0x4000, .max, 1 << 63] as [UInt64] {
      sum &+= Int(truncatingIfNeeded: file.fileOffset(ofVirtualAddress: address) ?? 0)
      sum &+= Int(truncatingIfNeeded: file.virtualAddress(ofFileOffset: address) ?? 0)
      sum &+= Int(truncatingIfNeeded: file.virtualAddress(ofMappingAt: address) ?? 0)
      sum &+= file.contents(atVirtualAddress: address, size: 64)?.count ?? 0
      sum &+= file.contents(atVirtualAddress: address, size: .max)?.count ?? 0
    }
    sum &+= file.buildID?.utf8.count ?? 0
    sum &+= file.interpreter?.utf8.count ?? 0
    sum &+= file.neededLibraries.count &+ file.dynamicEntries.count
    sum &+= file.sharedObjectName?.utf8.count ?? 0
    return sum
  }

  @Test(arguments: [true, false])
  func survivesMutations(hasSectionHeaders: Bool) throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let good = try ElfFile(path: path)
    var bytes = contents(of: path)
    if !hasSectionHeaders { removeSectionHeaders(&bytes) }
    let focus =
      [".dynsym", ".dynamic", ".hash", ".gnu.hash", ".symtab", ".note.gnu.build-id", ".interp"]
      .compactMap { good.section(named: $0) }.map { Int($0.offset)..<Int($0.offset + $0.size) }
    let headers = [0..<64, 64..<800, (bytes.count - 2200)..<bytes.count]
    var mutator = Mutator(seed: hasSectionHeaders ? 1 : 2)
    var opened = 0
    let rounds = fuzzRounds(10_000)
    for _ in 0..<rounds {
      let damaged = mutator.mutate(bytes, focus: headers + focus)
      guard let file = try? damaged.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") })
      else { continue }
      opened += 1
      #expect(exercise(file) != .max)
    }
    #expect(opened > rounds / 5)
  }

  /// Clears e_shoff, e_shnum and e_shstrndx.
  private func removeSectionHeaders(_ bytes: inout [UInt8]) {
    for index in 40..<48 { bytes[index] = 0 }
    for index in 60..<64 { bytes[index] = 0 }
  }

  @Test(arguments: ["both", "gnu", "sysv"])
  func findsDynamicSymbolsWithoutSectionHeaders(hashStyle: String) throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write(
      "victim.c", "int f(int a) { return a; }\nint main(void) { return f(1); }\n")
    let path = directory.file("victim")
    try run(["gcc", "-Wl,--hash-style=\(hashStyle)", "-rdynamic", "-o", path, source])
    let whole = try ElfFile(path: path)
    var bytes = contents(of: path)
    removeSectionHeaders(&bytes)
    let stripped = try ElfFile(path: directory.write("stripped", bytes))
    #expect(stripped.sections.isEmpty)
    func names(_ file: ElfFile) -> [String] {
      var names: [String] = []
      file.forEachSymbol(in: .dynamic) { names.append(String(cString: $0.name)) }
      return names
    }
    #expect(names(stripped) == names(whole))
    #expect(names(stripped).contains("main"))
    #expect(stripped.buildID == whole.buildID)
    #expect(stripped.neededLibraries == ["libc.so.6"])
  }

  @Test func saysWhatIsWrongWithAFile() throws {
    let directory = try TemporaryDirectory()
    let path = try build(directory)
    let good = contents(of: path)
    func error(_ change: (inout [UInt8]) -> Void) throws -> ElfError? {
      var bytes = good
      change(&bytes)
      let changed = try directory.write("changed", bytes)
      do {
        _ = try ElfFile(path: changed)
        return nil
      } catch {
        return error
      }
    }
    let name = directory.file("changed")
    #expect(try error { $0[4] = 1 } == .not64Bit(name: name))
    #expect(try error { $0[5] = 2 } == .notLittleEndian(name: name))
    #expect(try error { $0[18] = 183 } == .foreignMachine(name: name, machine: 183))
    #expect(try error { $0[1] = 0 } == .notELF(name: name))
    #expect(try error { $0 = Array($0[..<63]) } == .truncated(name: name, size: 63))
    #expect(try error { $0 = [] } == .truncated(name: name, size: 0))
    #expect(try error { $0 = Array($0[..<64]) } == nil)
    #expect(try error { $0[54] = 1 } == .malformed(name: name, what: "program header size 1"))
    #expect(
      ElfError.foreignMachine(name: "/x", machine: 183).description
        == "/x: an ELF file for another processor (machine 183; x86-64 is 62)")
  }

}
