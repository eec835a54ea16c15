import LeakAnalysis
import Testing
import TraceModel

@Suite struct UnseenMemoryTests {
  private func mapping(
    _ pages: Range<UInt64>, _ path: String = "", _ permissions: Mapping.Permissions = [.read, .write], inode: UInt64 = 0
  ) -> Mapping {
    Mapping(
      start: pages.lowerBound << 12, end: pages.upperBound << 12, fileOffset: 0, permissions: permissions, device: 1,
      inode: inode, path: path, isDeleted: false)
  }

  private func bytes(_ pages: Range<UInt64>) -> Range<UInt64> { pages.lowerBound << 12..<pages.upperBound << 12 }

  private func part(_ pages: Range<UInt64>, _ kind: UnexplainedGrowth.Class) -> UnseenMemory.Part {
    UnseenMemory.Part(range: bytes(pages), kind: kind)
  }

  @Test func whatIsKnownIsCutOut() {
    let memory = UnseenMemory(mappings: [mapping(10..<40)], known: [bytes(5..<12), bytes(20..<30), bytes(30..<31)])
    #expect(memory.parts == [part(12..<20, .anonymous), part(31..<40, .anonymous)])
  }

  @Test func classes() {
    let memory = UnseenMemory(
      mappings: [
        mapping(1..<2, "/bin/svc", [.read, .execute], inode: 7), mapping(2..<3, "/bin/svc", inode: 7), mapping(3..<5),
        mapping(6..<7), mapping(7..<8, "", []), mapping(10..<11, "[heap]"), mapping(12..<13, "/data", inode: 8),
        mapping(13..<14, "/data", [.read, .write, .shared], inode: 8),
        mapping(14..<15, "/memfd:a", [.read, .shared], inode: 9),
        mapping(15..<16, "/dev/zero", [.read, .shared], inode: 3),
        mapping(16..<17, "/anon_hugepage", inode: 4), mapping(17..<18, "[anon:pool]"),
        mapping(18..<19, "[vdso]", [.read]),
        mapping(20..<22, "[stack]"), mapping(0xc000000..<0xc000010),
      ], known: [bytes(21..<22)], hasGoHeap: true)
    #expect(
      memory.parts == [
        // Behind the program's data lies the part of it that begins as zeros; nobody can access page 7.
        part(6..<7, .anonymous), part(12..<13, .file), part(14..<15, .sharedMemory), part(15..<16, .sharedMemory),
        part(16..<17, .hugePages), part(17..<18, .anonymous), part(20..<21, .stack),
        part(0xc000000..<0xc000010, .runtimeHeap),
      ])
  }

  /// Only where the C library's own calls are seen.
  @Test(arguments: [(nil, false), (0x12_345, true)] as [(UInt64?, Bool)]) func breakMovedByOthers(
    programBreak: UInt64?, isTold: Bool
  ) {
    let memory = UnseenMemory(mappings: [mapping(0x10..<0x20, "[heap]")], known: [], programBreak: programBreak)
    #expect(memory.parts == (isTold ? [part(0x13..<0x20, .heap)] : []))
  }

  @Test func aPartWithATracedBlockIsAnAllocators() {
    var memory = UnseenMemory(mappings: [mapping(1..<4), mapping(6..<9)], known: [])
    memory.removeParts { note in [0x3fff, 0x4000, 0x5fff, 0x9000].forEach(note) }
    #expect(memory.parts == [part(6..<9, .anonymous)])
  }

  @Test func whatComesAndGoesIsLeftOut() {
    var memory = UnseenMemory(mappings: [mapping(1..<4), mapping(6..<9)], known: [])
    memory.intersect(UnseenMemory(mappings: [mapping(3..<8)], known: []))
    #expect(memory.parts == [part(3..<4, .anonymous), part(6..<8, .anonymous)])
  }
}
