import ProcessImage
import TraceModel

/// Memory that a language runtime manages by itself, found by how the runtime lays it out. Native blocks that only
/// objects in there refer to live as long as these do, which is not up to the native code.
package struct InterpreterHeap: Sendable {
  package var range: Range<UInt64>
  /// What it is called, for people.
  package var name: String
}

extension InterpreterHeap {
  /// How to tell one runtime's memory.
  struct Layout: Sendable {
    var name: String
    /// Parts of names of executables and libraries that have this runtime in them.
    var modules: [String]
    /// Its units begin at multiples of this.
    var alignment: UInt64
    /// How many words at the start of a unit `size` looks at.
    var headerWords: Int
    /// The bytes of the unit at an address by its first words; nil when there is none.
    var size: @Sendable (_ address: UInt64, _ words: [UInt64], _ memory: any MemoryReader) -> UInt64?
  }

  static let layouts = [cpython, ruby, zend, v8]

  /// Searches the anonymous memory of a process whose modules have an interpreter in them. Nothing need stand still: what
  /// is not found is memory like any other.
  static func find(
    mappings: [Mapping], modules: [ModuleImage], memory: some ScannableMemory
  ) -> [InterpreterHeap] {
    let names = modules.map { String($0.path.split(separator: "/").last ?? "") }
    var found: [InterpreterHeap] = []
    for layout in layouts
    where names.contains(where: { name in layout.modules.contains { name.contains($0) } }) {
      for mapping in mappings where isCandidate(mapping) { layout.find(in: mapping, memory, &found) }
    }
    return found
  }

  private static func isCandidate(_ mapping: Mapping) -> Bool {
    mapping.inode == 0 && mapping.permissions.isSuperset(of: [.read, .write])
      && !mapping.permissions.contains(.shared) && !["[heap]", "[stack]"].contains(mapping.path)
  }

  // MARK: CPython

  /// Pools of pymalloc, 16 KiB each since 3.10 and one page before (`struct pool_header` of Objects/obmalloc.c).
  private static let cpython = Layout(
    name: "CPython arena", modules: ["python"], alignment: 4096, headerWords: 6
  ) { address, words, _ in
    let sizeClass = words[4] >> 32
    let nextOffset = words[5] & 0xffff_ffff
    let lastOffset = words[5] >> 32
    let blockSize = (sizeClass + 1) * 16
    guard sizeClass < 64, words[4] & 0xffff_ffff < 1 << 24 else { return nil }
    for poolSize in [16384, 4096] as [UInt64] where address % poolSize == 0 {
      let isInside = words[1] == 0 || (address..<address + poolSize).contains(words[1])
      if lastOffset == poolSize - blockSize, nextOffset >= 48, nextOffset <= poolSize, isInside,
        words[0] & 0xffff_ffff <= poolSize / blockSize
      {
        return poolSize
      }
    }
    return nil
  }

  // MARK: Ruby

  /// Heap pages of 64 KiB (gc.c): the first word names their description, which says where the objects begin.
  private static let ruby = Layout(
    name: "Ruby heap page", modules: ["ruby"], alignment: 65536, headerWords: 1
  ) { address, words, memory in
    guard words[0] > 4096, words[0] & 7 == 0 else { return nil }
    let description = memory.words(at: words[0], count: 10)
    guard let slotSize = description.first.map({ $0 & 0xffff }), slotSize >= 40, slotSize <= 1280, slotSize % 8 == 0,
      description.contains(where: { $0 > address && $0 <= address + 2048 })
    else { return nil }
    return 65536
  }

  // MARK: PHP

  /// Chunks of 2 MiB: the first word names the heap, which lies in the first chunk behind its header; then come the
  /// chunks before and behind (`struct _zend_mm_chunk` of Zend/zend_alloc.c).
  private static let zend = Layout(
    name: "Zend chunk", modules: ["php"], alignment: 2 << 20, headerWords: 3
  ) { address, words, memory in
    let chunkSize: UInt64 = 2 << 20
    guard words[0] % chunkSize == 0x40, words[1] != 0, words[1] % chunkSize == 0, words[2] != 0,
      words[2] % chunkSize == 0, memory.value(at: words[0] - 0x40, as: UInt64.self) == words[0]
    else { return nil }
    return chunkSize
  }

  // MARK: V8

  /// Pages of 256 KiB and larger ones, which begin with their size and say where their objects lie (`BasicMemoryChunk` of
  /// V8 up to 11).
  private static let v8 = Layout(
    name: "V8 page", modules: ["node", "libv8", "chrom", "electron", "deno"], alignment: 1 << 18, headerWords: 10
  ) { address, words, _ in
    let size = words[0]
    guard size >= 4096, size % 4096 == 0, size <= 1 << 32 else { return nil }
    for index in 2..<9 where words[index] > address && words[index] <= address + (1 << 16) {
      if words[index + 1] > words[index], words[index + 1] <= address + size { return size }
    }
    return nil
  }
}

extension InterpreterHeap.Layout {
  /// Adds the units in a mapping. Only pages with content are looked at.
  fileprivate func find(
    in mapping: Mapping, _ memory: some ScannableMemory, _ found: inout [InterpreterHeap]
  ) {
    var address = (mapping.start + alignment - 1) & ~(alignment - 1)
    while address < mapping.end {
      guard let resident = memory.nextResident(in: address..<mapping.end) else { return }
      if resident.lowerBound > address {
        address = (resident.lowerBound + alignment - 1) & ~(alignment - 1)
        if address >= resident.upperBound { continue }
      }
      let words = memory.words(at: address, count: headerWords)
      if words.count == headerWords, let size = size(address, words, memory) {
        let end = min(address + size, mapping.end)
        if let last = found.last, last.name == name, last.range.upperBound == address {
          found[found.count - 1].range = last.range.lowerBound..<end
        } else {
          found.append(InterpreterHeap(range: address..<end, name: name))
        }
        address = (end + alignment - 1) & ~(alignment - 1)
      } else {
        address += alignment
      }
    }
  }
}
