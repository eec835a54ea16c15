import CElfUtils
import Glibc
import ProcessImage
import TestTools
import Testing

@testable import Symbolization

/// Files made to break their readers. A failure of these tests is a crash, a trap or a hang.
@Suite struct HostileFileTests {
  private struct Victim {
    var bytes: [UInt8]
    /// Header tables, symbol tables and relocations.
    var structure: [Range<Int>]
    var debugSections: [Range<Int>]
    var text: Range<UInt64>
  }

  private func build(_ options: [String]) throws -> Victim {
    let directory = try TemporaryDirectory()
    let source = try directory.write("victim.c", waitingProgram)
    try run(["gcc", "-O2", "-g", "-o", directory.file("victim"), source] + options)
    let file = try ElfFile(path: directory.file("victim"))
    func range(_ section: ElfFile.Section) -> Range<Int> {
      Int(section.offset)..<Int(section.offset + section.size)
    }
    let text = try #require(file.section(named: ".text"))
    let structure = [
      ".symtab", ".dynsym", ".dynamic", ".rela.plt", ".rela.dyn", ".gnu.hash", ".gnu_debuglink",
      ".note.gnu.build-id", ".plt", ".plt.sec", ".shstrtab", ".strtab", ".dynstr",
    ].compactMap { file.section(named: $0).map(range) }
    return Victim(
      bytes: contents(of: directory.file("victim")),
      structure: structure + [0..<64, 64..<900, (file.size - 3000)..<file.size],
      debugSections: file.sections.filter { $0.name.hasPrefix(".debug") }.map(range),
      text: text.address..<(text.address + text.size))
  }

  @Test func survivesDamagedSymbolTables() throws {
    let victim = try build([])
    var mutator = Mutator(seed: 1)
    var opened = 0
    for _ in 0..<20_000 {
      let bytes = mutator.mutate(victim.bytes, focus: victim.structure)
      guard let file = try? bytes.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") })
      else {
        continue
      }
      opened += 1
      let index = SymbolIndex(file: file, separate: nil)
      for address in stride(from: victim.text.lowerBound - 64, to: victim.text.upperBound, by: 37) {
        if let match = index.lookup(address) { _ = strlen(match.name) }
      }
      _ = index.lookup(0)
      _ = index.lookup(.max)
      _ = SeparateDebugFile.debugLink(of: file)
      _ = SeparateDebugFile.packedSymbols(of: file)
      _ = ProcedureLinkage.stubs(of: file)
    }
    #expect(opened > 5_000)
  }

  @Test(arguments: ["-gdwarf-5", "-gdwarf-4"])
  func survivesDamagedDebugInformation(version: String) throws {
    let victim = try build([version])
    var mutator = Mutator(seed: 2)
    let finder = SeparateDebugFile(directories: [], processID: nil)
    var found = 0
    let count = getenv("FUZZ").map { Int(String(cString: $0))! } ?? 5_000
    for _ in 0..<count {
      let bytes = mutator.mutate(victim.bytes, focus: victim.debugSections)
      guard let file = try? bytes.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") }),
        let debug = DebugInformation(file: file, debugFiles: finder)
      else { continue }
      for address in stride(from: victim.text.lowerBound, to: victim.text.upperBound, by: 7) {
        found += debug.functions(at: address, demangle: true).count
      }
    }
    #expect(found > 5_000)
  }
}
