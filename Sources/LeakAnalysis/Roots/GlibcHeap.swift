import ProcessImage
import TraceModel

/// Memory that glibc's malloc manages, and its own notes about it, found by their structure.
struct GlibcHeap {
  /// The heaps of threads' arenas: `heap_info` of malloc/arena.c at multiples of 64 MiB.
  var arenas: [Range<UInt64>] = []
  /// `main_arena`: its lists of free chunks hold addresses inside of the blocks before them.
  var notes: [Range<UInt64>] = []

  private static let heapAlignment: UInt64 = 64 << 20

  /// The parts of a mapping that belong to heaps of arenas.
  static func arenas(in mapping: Mapping, memory: some MemoryReader) -> [Range<UInt64>] {
    guard mapping.inode == 0, mapping.permissions.isSuperset(of: [.read, .write]),
      !mapping.permissions.contains(.shared)
    else { return [] }
    var found: [Range<UInt64>] = []
    var base = (mapping.start + heapAlignment - 1) & ~(heapAlignment - 1)
    // Few mappings contain such an address, but a mapping that reserves terabytes contains many.
    var looked = 0
    while base < mapping.end, looked < 4096 {
      if let end = endOfHeap(at: base, memory), end <= mapping.end { found.append(base..<end) }
      base += heapAlignment
      looked += 1
    }
    return found
  }

  private static func endOfHeap(at base: UInt64, _ memory: some MemoryReader) -> UInt64? {
    let words = memory.words(at: base, count: 4)
    guard words.count == 4 else { return nil }
    let (arena, previous, size, accessible) = (words[0], words[1], words[2], words[3])
    guard size > 0, size % 4096 == 0, size <= accessible, accessible % 4096 == 0, accessible <= heapAlignment else {
      return nil
    }
    // The first heap of an arena holds the arena itself behind the header; later ones name the one before.
    let isFirst = previous == 0 && arena > base && arena <= base + 64
    let isLater = previous != 0 && previous % heapAlignment == 0 && arena & (heapAlignment - 1) <= 64 && arena != 0
    return isFirst || isLater ? base + accessible : nil
  }

  /// Where `struct malloc_state` lies in a module's data. Its 127 doubly linked lists are like nothing else: most are
  /// empty, and an empty one points to itself as if it were a chunk, 16 bytes before its links. The last is never used.
  static func mainArena(in data: Range<UInt64>, memory: some MemoryReader) -> Range<UInt64>? {
    guard data.upperBound - data.lowerBound <= 16 << 20 else { return nil }
    let words = memory.words(at: data.lowerBound, count: Int(data.upperBound - data.lowerBound) / 8)
    func isEmptyList(_ index: Int) -> Bool {
      let head = data.lowerBound + UInt64(index) * 8 - 16
      return words[index] == head && words[index + 1] == head
    }
    let linkCount = 2 * 127
    // Before the lists: lock, flags, ten lists of fast chunks, top, last remainder. Behind: bit map, links, sizes.
    let (wordsBefore, wordsBehind) = (14, 7)
    var last = words.count - 2
    while last >= linkCount - 2 + wordsBefore {
      let first = last - (linkCount - 2)
      if isEmptyList(last), stride(from: first, through: last, by: 2).count(where: isEmptyList) >= 64 {
        let start = data.lowerBound + UInt64(first - wordsBefore) * 8
        return start..<min(start + UInt64(wordsBefore + linkCount + wordsBehind) * 8, data.upperBound)
      }
      last -= 1
    }
    return nil
  }
}
