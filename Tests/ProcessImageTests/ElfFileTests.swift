import CElfUtils
import Glibc
import Testing

@testable import ProcessImage

@Suite struct ElfFileTests {
  @Test func readsTheCLibrary() throws {
    let file = try ElfFile(path: "/lib/x86_64-linux-gnu/libc.so.6")
    #expect(file.machine == UInt16(EM_X86_64))
    #expect(file.type == UInt16(ET_DYN))
    #expect(file.buildID?.utf8.count == 40)
    #expect(file.interpreter == "/lib64/ld-linux-x86-64.so.2")
    #expect(file.sharedObjectName == "libc.so.6")
    #expect(file.neededLibraries == ["ld-linux-x86-64.so.2"])
    let text = try #require(file.section(named: ".text"))
    #expect(file.fileOffset(ofVirtualAddress: text.address) == text.offset)
    #expect(file.virtualAddress(ofFileOffset: text.offset) == text.address)
    #expect(file.contents(of: text)?.count == Int(text.size))
    var found: [String: ElfSymbol] = [:]
    file.forEachSymbol(in: .dynamic) { symbol in
      if symbol.isDefined { found[String(cString: symbol.name)] = symbol }
    }
    #expect(found["malloc"]?.kind == .function)
    #expect(found["memcpy"]?.kind == .indirectFunction)
    #expect(found["malloc"]?.binding == .global)
  }

  @Test func refusesWhatIsNotElf() {
    #expect(throws: ElfError.notRegularFile(name: "/dev/null")) { try ElfFile(path: "/dev/null") }
    #expect(throws: ElfError.unreadable(name: "/nonexistent", operation: "open", code: ENOENT)) {
      try ElfFile(path: "/nonexistent")
    }
    #expect(throws: ElfError.notELF(name: "/etc/passwd")) { try ElfFile(path: "/etc/passwd") }
  }
}
