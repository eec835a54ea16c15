import ProcessImage
import Testing

@testable import LeakAnalysis

/// Lists as glibc has them, in memory that a test makes.
@Suite struct ThreadListsTests {
  private struct Words: MemoryReader {
    var words: [UInt64: UInt64] = [:]
    func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
      for place in stride(from: 0, to: buffer.count & ~7, by: 8) {
        buffer.storeBytes(of: words[address &+ UInt64(place)] ?? 0, toByteOffset: place, as: UInt64.self)
      }
      return buffer.count
    }
  }

  private let layout = ThreadLists.Layout(usedHead: 0x1000_0000, link: 704, threadID: 720, startRoutine: 1600)

  private func list(_ blocks: [UInt64], at head: UInt64, in memory: inout Words) {
    let links = blocks.map { $0 + layout.link }
    var previous = head
    for next in links + [head] {
      memory.words[previous] = next
      memory.words[next + 8] = previous
      previous = next
    }
  }

  private func addThread(_ number: UInt64, threadID: UInt64, in memory: inout Words) -> UInt64 {
    let end = 0x7000_0000_0000 + number * 0x100_0000
    let block = end - 0x900
    memory.words[block] = block
    memory.words[block + 16] = block
    memory.words[block + layout.threadID] = threadID
    memory.words[block + layout.startRoutine] = 0x40_1000 + number
    memory.words[block + 1680] = end - 0x80_1000
    memory.words[block + 1688] = 0x80_1000
    return block
  }

  private func sample() -> (memory: Words, blocks: [UInt64]) {
    var memory = Words()
    let blocks = (0..<4).map { addThread(UInt64($0), threadID: $0 % 2 == 0 ? 4711 : 0, in: &memory) }
    list(Array(blocks[..<3]), at: layout.usedHead, in: &memory)
    list([blocks[3]], at: layout.usedHead + 32, in: &memory)
    return (memory, blocks)
  }

  @Test func reads() throws {
    let (memory, blocks) = sample()
    let lists = try #require(ThreadLists(layout, memory: memory))
    #expect(lists.threads.map(\.controlBlock) == Array(blocks[..<3]))
    #expect(lists.threads.map(\.hasEnded) == [false, true, false])
    #expect(lists.threads.map(\.startRoutine) == [0x40_1000, 0x40_1001, 0x40_1002])
    #expect(lists.threads.first?.stack == blocks[0] + 0x900 - 0x80_1000..<blocks[0] + 0x900)
    #expect(lists.cached.count == 1)
  }

  /// A hostile process may link its list into itself, break it, or make it endless.
  @Test func brokenListsAreNone() {
    var (memory, blocks) = sample()
    memory.words[blocks[2] + layout.link] = blocks[0] + layout.link
    #expect(ThreadLists(layout, memory: memory) == nil)
    memory.words[blocks[2] + layout.link] = 0
    #expect(ThreadLists(layout, memory: memory) == nil)
  }

  /// A thread that is about to begin has no id yet, and has one a moment later.
  @Test func whatBeginsHasNotEnded() throws {
    var (memory, blocks) = sample()
    var lists = try #require(ThreadLists(layout, memory: memory))
    memory.words[blocks[1] + layout.threadID] = 4712
    lists.confirm(by: try #require(ThreadLists(layout, memory: memory)))
    #expect(lists.threads.map(\.controlBlock) == [blocks[0], blocks[2]])
  }
}
