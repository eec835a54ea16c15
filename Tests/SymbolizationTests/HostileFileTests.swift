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

  private static let structureSections = [
    ".symtab", ".dynsym", ".dynamic", ".rela.plt", ".rela.dyn", ".gnu.hash", ".gnu_debuglink",
    ".note.gnu.build-id", ".plt", ".plt.sec", ".shstrtab", ".strtab", ".dynstr", ".gnu_debugdata",
  ]

  private func victim(_ path: String) throws -> Victim {
    let file = try ElfFile(path: path)
    func range(_ section: ElfFile.Section) -> Range<Int> {
      Int(section.offset)..<Int(section.offset + section.size)
    }
    let text = try #require(file.section(named: ".text"))
    return Victim(
      bytes: contents(of: path),
      structure: Self.structureSections.compactMap { file.section(named: $0).map(range) }
        + [0..<64, 64..<900, (file.size - 3000)..<file.size],
      debugSections: file.sections.filter { $0.name.hasPrefix(".debug") }.map(range),
      text: text.address..<(text.address + text.size))
  }

  private func build(_ source: String, compiler: String = "gcc", _ options: [String]) throws -> Victim {
    let directory = try TemporaryDirectory()
    let file = try directory.write("victim.c", source)
    try run([compiler, "-O2", "-g", "-o", directory.file("victim"), file] + options)
    return try victim(directory.file("victim"))
  }

  /// Asks for names all over a file; a separate file's, too.
  private func lookUp(_ file: ElfFile, separate: ElfFile?, _ text: Range<UInt64>) {
    let index = SymbolIndex(file: file, separate: separate)
    for address in stride(from: text.lowerBound - 64, to: text.upperBound, by: 37) {
      if let match = index.lookup(address) { _ = strlen(match.name) }
    }
    _ = index.lookup(0)
    _ = index.lookup(.max)
  }

  @Test func survivesDamagedSymbolTables() throws {
    let victim = try build(waitingProgram, [])
    var mutator = Mutator(seed: 1)
    var opened = 0
    let rounds = fuzzRounds(10_000)
    for _ in 0..<rounds {
      let bytes = mutator.mutate(victim.bytes, focus: victim.structure)
      guard let file = try? bytes.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") })
      else {
        continue
      }
      opened += 1
      lookUp(file, separate: nil, victim.text)
      _ = SeparateDebugFile.debugLink(of: file)
      _ = ProcedureLinkage.stubs(of: file)
    }
    #expect(opened > rounds / 4)
  }

  /// A packed symbol table, damaged before and after it was packed.
  @Test(.enabled(if: findTool("xz") != nil, "needs xz"), arguments: ["none", "crc32"])
  func survivesDamagedPackedSymbols(check: String) throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("victim.c", waitingProgram)
    let path = directory.file("victim")
    try run(["gcc", "-O2", "-s", "-o", path, source])
    try run(["gcc", "-O2", "-o", directory.file("symbols"), source])
    try run(["xz", "-k", "--check=\(check)", directory.file("symbols")])
    try run(["objcopy", "--add-section", ".gnu_debugdata=\(directory.file("symbols.xz"))", path])
    let outer = try victim(path)
    let packed = try #require(ElfFile(path: path).section(named: ".gnu_debugdata"))
    let inner = try victim(directory.file("symbols"))
    let sound = try ElfFile(path: path)
    var mutator = Mutator(seed: check == "none" ? 3 : 4)
    var unpacked = 0
    for round in 0..<fuzzRounds(2_000) {
      if round % 2 == 0 {
        let bytes = mutator.mutate(
          outer.bytes, focus: [Int(packed.offset)..<Int(packed.offset + packed.size)])
        guard let file = try? bytes.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") }) else { continue }
        let symbols = SeparateDebugFile.packedSymbols(of: file)
        if symbols != nil { unpacked += 1 }
        lookUp(file, separate: symbols, outer.text)
      } else {
        let bytes = mutator.mutate(inner.bytes, focus: inner.structure)
        let symbols = try? bytes.withUnsafeBytes { try ElfFile(copying: $0, name: "packed") }
        lookUp(sound, separate: symbols, outer.text)
      }
    }
    // Without a checksum, much damage goes unnoticed until the symbols are read.
    #expect(check != "none" || unpacked > 5, "\(unpacked)")
  }

  private static let compilers: [[String]] = [
    ["gcc", "-gdwarf-5"], ["gcc", "-gdwarf-4"], ["g++", "-gdwarf-5", "-gz=zlib"], ["g++", "-gdwarf-5"],
    ["g++", "-gdwarf-4", "-fdebug-types-section"], ["clang++", "-gdwarf-5", "-Wno-deprecated"],
  ].filter { findTool($0[0]) != nil }

  @Test(arguments: compilers)
  func survivesDamagedDebugInformation(compiler: [String]) throws {
    let victim = try build(
      compiler[0] == "gcc" ? waitingProgram : Self.inlines, compiler: compiler[0], Array(compiler.dropFirst()))
    var mutator = Mutator(seed: 2)
    let finder = SeparateDebugFile(directories: [], processID: nil)
    var found = 0
    let rounds = fuzzRounds(1_000)
    for round in 0..<rounds {
      let bytes = mutator.mutate(victim.bytes, focus: victim.debugSections)
      guard let file = try? bytes.withUnsafeBytes({ try ElfFile(copying: $0, name: "victim") }),
        let debug = DebugInformation(file: file, debugFiles: finder)
      else { continue }
      for address in stride(from: victim.text.lowerBound + UInt64(round % 13), to: victim.text.upperBound, by: 13) {
        found += debug.functions(at: address, demangle: true).count
      }
    }
    #expect(found > rounds)
  }

  /// The owner of a file may rewrite it while it is read: what has been checked must be what is used.
  @Test(arguments: compilers)
  func survivesAFileThatIsRewrittenWhileItIsRead(compiler: [String]) async throws {
    let victim = try build(
      compiler[0] == "gcc" ? waitingProgram : Self.inlines, compiler: compiler[0], Array(compiler.dropFirst()))
    let directory = try TemporaryDirectory()
    let path = try directory.write("victim", victim.bytes)
    let bytes = victim.bytes
    let sections = victim.debugSections + victim.structure
    let rounds = fuzzRounds(200)
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        var mutator = Mutator(seed: 7)
        let descriptor = open(path, O_WRONLY)
        defer { close(descriptor) }
        while !Task.isCancelled {
          for image in [mutator.mutate(bytes, focus: sections), bytes] {
            _ = image.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
          }
          await Task.yield()
        }
      }
      let finder = SeparateDebugFile(directories: [], processID: nil)
      for _ in 0..<rounds {
        guard let file = try? ElfFile(path: path) else { continue }
        lookUp(file, separate: nil, victim.text)
        if let debug = DebugInformation(file: file, debugFiles: finder) {
          for address in stride(from: victim.text.lowerBound, to: victim.text.upperBound, by: 13) {
            _ = debug.functions(at: address, demangle: true)
          }
        }
      }
      group.cancelAll()
    }
  }

  /// libelf does not look at the size of section headers, and notes in them what it has unpacked.
  @Test func sectionHeadersOfAnotherSize() throws {
    var bytes = try build(Self.inlines, compiler: "g++", ["-gdwarf-5", "-gz=zlib"]).bytes
    // e_shentsize
    bytes[58] = 72
    let file = try bytes.withUnsafeBytes { try ElfFile(copying: $0, name: "victim") }
    #expect(file.sections.isEmpty)
    #expect(DebugInformation(file: file, debugFiles: SeparateDebugFile(directories: [], processID: nil)) == nil)
  }

  /// Functions in functions, inlined and not, with blocks, in namespaces and classes.
  private static let inlines = """
    #include <stdio.h>
    namespace outer { namespace {
    struct Thing {
      int value;
      inline __attribute__((always_inline)) int twice() const { if (value > 7) { int local = value; return local * 2; } return 1; }
      template <typename T> __attribute__((noinline)) T times(T by) const { return by * twice() + getchar(); }
    };
    enum class Kind { small, large };
    } 
    inline __attribute__((always_inline)) int both(const Thing &a, const Thing &b) { return a.twice() + b.twice(); }
    }
    __attribute__((noinline)) int work(int count) {
      struct Local { static __attribute__((noinline)) int f(int n) { return n + getchar(); } };
      auto lambda = [&](int more) { for (int i = 0; i < more; i++) count += outer::both({i}, {more}); return count; };
      return lambda(count) + Local::f(count) + outer::Thing{3}.times(2L) + outer::Thing{4}.times(2.0f);
    }
    int main() { puts("ready"); fflush(stdout); return work(getchar()); }

    """
}
