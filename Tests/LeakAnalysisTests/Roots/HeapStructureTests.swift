import Glibc
import ProcessImage
import Testing
import TraceModel

@testable import LeakAnalysis

/// Memory that is known by how it is laid out.
@Suite struct HeapStructureTests {
  private func anonymous(_ range: Range<UInt64>) -> Mapping {
    Mapping(
      start: range.lowerBound, end: range.upperBound, fileOffset: 0, permissions: [.read, .write], device: 0, inode: 0,
      path: "", isDeleted: false)
  }

  // MARK: glibc

  /// This very process has a C library; its allocator's notes are found where the lists are.
  @Test func mainArenaOfTheCLibrary() throws {
    let memory = try RemoteMemory(processID: getpid())
    let mappings = try ProcessMaps.read(processID: getpid())
    let library = try #require(mappings.first { $0.path.hasSuffix("/libc.so.6") && $0.fileOffset == 0 })
    let module = try #require(ModuleImage(mapping: library, memory: memory))
    let found = module.data.compactMap { GlibcHeap.mainArena(in: $0, memory: memory) }
    #expect(found.count == 1)
    let arena = try #require(found.first)
    #expect(arena.upperBound - arena.lowerBound == (14 + 254 + 7) * 8)
    // The first chunk of all lists: whatever lies there, it is a chunk of the heap or the list itself.
    #expect(mappings.contains { $0.path.hasSuffix("/libc.so.6") && $0.contains(arena.lowerBound) })
    // system_mem, the last word but one, is what the main arena has from the kernel.
    let system = try #require(memory.value(at: arena.upperBound - 16, as: UInt64.self))
    #expect(system % 4096 == 0)
  }

  @Test func noArenaWhereThereIsNone() throws {
    let memory = FakeMemory([0x10000..<0x20000])
    #expect(GlibcHeap.mainArena(in: 0x10000..<0x20000, memory: memory) == nil)
    #expect(GlibcHeap.mainArena(in: 0x30000..<0x40000, memory: memory) == nil)
  }

  @Test func heapsOfThreadArenas() {
    let base: UInt64 = 0x7f00_0000_0000
    let memory = FakeMemory([base..<base + 0x21000])
    let mapping = anonymous(base..<base + 0x21000)
    #expect(GlibcHeap.arenas(in: mapping, memory: memory) == [])
    memory.write(base + 0x30, at: base)
    memory.write(0x21000, at: base + 16)
    memory.write(0x21000, at: base + 24)
    #expect(GlibcHeap.arenas(in: mapping, memory: memory) == [base..<base + 0x21000])
    // Larger than what is there.
    memory.write(0x22000, at: base + 24)
    #expect(GlibcHeap.arenas(in: mapping, memory: memory) == [])
  }

  /// It begins before the mapping does where neighbours were joined.
  @Test func heapBehindOtherMemory() {
    let base: UInt64 = 0x7f00_0400_0000
    let memory = FakeMemory([base - 0x8000..<base + 0x1000])
    memory.write(base + 0x30, at: base)
    memory.write(0x1000, at: base + 16)
    memory.write(0x1000, at: base + 24)
    #expect(
      GlibcHeap.arenas(in: anonymous(base - 0x8000..<base + 0x1000), memory: memory) == [base..<base + 0x1000])
  }

  // MARK: Language runtimes

  private func heaps(_ path: String, _ range: Range<UInt64>, _ memory: FakeMemory) -> [InterpreterHeap] {
    InterpreterHeap.find(
      mappings: [anonymous(range)], modules: [ModuleImage(path: path, data: [], threadLocalBytes: 0)], memory: memory)
  }

  @Test(arguments: [16384, 4096] as [UInt64]) func poolsOfCPython(size: UInt64) {
    let start: UInt64 = 0x7f00_0000_0000
    let memory = FakeMemory([start..<start + 0x100000])
    // The second unit holds blocks of 48 bytes.
    let pool = start + size
    memory.write(3, at: pool)
    memory.write(pool + 48 * 4, at: pool + 8)
    memory.write(2 << 32 | 9, at: pool + 32)
    memory.write((size - 48) << 32 | 240, at: pool + 40)
    let found = heaps("/usr/bin/python3.11", start..<start + 0x100000, memory)
    #expect(found.map(\.range) == [pool..<pool + size])
    #expect(found.map(\.name) == ["CPython arena"])
    #expect(heaps("/usr/bin/perl", start..<start + 0x100000, memory).isEmpty)
    // A number that does not fit the others.
    memory.write((size - 32) << 32 | 240, at: pool + 40)
    #expect(heaps("/usr/bin/python3.11", start..<start + 0x100000, memory).isEmpty)
  }

  @Test func pagesOfRuby() {
    let page: UInt64 = 0x7f00_0001_0000
    let description: UInt64 = 0x5500_0000_1000
    let memory = FakeMemory([page..<page + 0x10000, description..<description + 0x100])
    memory.write(description, at: page)
    memory.write(409 << 16 | 40, at: description)
    memory.write(page + 40, at: description + 32)
    let found = heaps("/usr/lib/libruby-3.1.so.3.1", page..<page + 0x10000, memory)
    #expect(found.map(\.range) == [page..<page + 0x10000])
    memory.write(41, at: description)
    #expect(heaps("/usr/lib/libruby-3.1.so.3.1", page..<page + 0x10000, memory).isEmpty)
  }

  @Test func chunksOfZend() {
    let first: UInt64 = 0x7f00_0020_0000
    let size: UInt64 = 2 << 20
    let memory = FakeMemory([first..<first + 0x1000, first + size..<first + size + 0x1000])
    for chunk in [first, first + size] {
      memory.write(first + 0x40, at: chunk)
      memory.write(first + size, at: chunk + 8)
      memory.write(first, at: chunk + 16)
    }
    let found = heaps("/usr/bin/php8.2", first..<first + 2 * size, memory)
    #expect(found.map(\.range) == [first..<first + 2 * size])
    #expect(found.map(\.name) == ["Zend chunk"])
  }

  @Test func pagesOfV8() {
    let page: UInt64 = 0x3a00_0004_0000
    let memory = FakeMemory([page..<page + 0x40000])
    memory.write(0x40000, at: page)
    memory.write(page + 0x110, at: page + 32)
    memory.write(page + 0x40000, at: page + 40)
    let found = heaps("/usr/bin/node", page..<page + 0x40000, memory)
    #expect(found.map(\.range) == [page..<page + 0x40000])
    memory.write(page + 0x40008, at: page + 40)
    #expect(heaps("/usr/bin/node", page..<page + 0x40000, memory).isEmpty)
  }

  // MARK: The kernel

  @Test func pointersInDescriptors() {
    let epoll = """
      pos:\t0
      flags:\t02000002
      tfd:        5 events:       19 data:     7f12345678  pos:0 ino:1 sdev:2
      tfd:        6 events:       19 data: ffffffffffffffff  pos:0 ino:1 sdev:2
      tfd:        7 events:       19 data:                0  pos:0 ino:1 sdev:2

      """
    #expect(
      KernelHeldPointers.numbers(behind: "data:", radix: 16, in: Array(epoll.utf8)) == [0x7f_1234_5678, .max])
    let ring = "SQEs:\t1\n    0: opcode:READ, fd:3, flags:0, off:0, addr:0x1, rw_flags:0x0, user_data:140000000001\n"
    #expect(
      KernelHeldPointers.numbers(behind: "user_data:", radix: 10, in: Array(ring.utf8)) == [140_000_000_001])
    let timers =
      "ID: 0\nsignal: 14/00007ffdb1c7a0c0\nnotify: signal/pid.2\nClockID: 0\nID: 1\nsignal: 0/0000000000000000\n"
    #expect(KernelHeldPointers.timerValues(in: Array(timers.utf8)) == [0x7ffd_b1c7_a0c0])
  }

  // MARK: Ranges

  @Test func rangesAreJoinedAndSubtracted() {
    let ranges = AddressRanges([30..<40, 10..<20, 20..<25, 50..<50])
    #expect(ranges.ranges == [10..<25, 30..<40])
    #expect(ranges.subtracted(from: 0..<100) == [0..<10, 25..<30, 40..<100])
    #expect(ranges.subtracted(from: 12..<18) == [])
    #expect(ranges.subtracted(from: 26..<29) == [26..<29])
    #expect(ranges.overlaps(24..<26) && !ranges.overlaps(25..<30))
    #expect(ranges.contains(10) && !ranges.contains(25))
  }
}
