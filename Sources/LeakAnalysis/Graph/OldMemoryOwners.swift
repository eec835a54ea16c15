import ProcessImage

/// Which variable or stack leads to memory from before the trace.
///
/// Where blocks begin in there nobody has seen. But what is in use is pointed to, as a rule to its start: memory between
/// two addresses that some word holds belongs to the lower one, and in glibc's heaps, where the word before a block has its size,
/// all of a block belongs to its start: a list's or a map's head lies inside of the object that it is a part of. That is enough to follow pointers through it and to add up
/// what most paths begin with; no block is called lost or reachable by it.
package struct OldMemoryOwners {
  /// Addresses in old memory that words point to, ascending.
  private var starts: [UInt64] = []
  /// For each of them one more than the place of the word in `words` that leads to it; 0 when none does.
  private var owners: [UInt32] = []
  /// Words of variables and stacks, by which roots.
  private var words: [(address: UInt64, root: Int)] = []
  private let roots: [Root]
  private let old: AddressRanges

  private static let mostPointers = 4 << 20
  private static let mostBytes: UInt64 = 4 << 30
  private static let window = 1 << 18

  private struct Pointer {
    var source: UInt64
    var target: UInt64
  }

  /// - Parameters:
  ///   - segments: the memory of the roots.
  ///   - memory: the process's memory as it is now, a moment after the search.
  init(roots: [Root], segments: [RootMap.Segment], memory: some ScannableMemory) {
    self.roots = roots
    func strength(_ segment: RootMap.Segment) -> HolderStrength {
      Int(segment.root) < roots.count ? HolderStrength(roots[Int(segment.root)].kind) : .registers
    }
    let isOld = segments.filter { strength($0) == .memory }
    old = AddressRanges(isOld.map { $0.start..<$0.end })
    guard let low = old.ranges.first?.lowerBound, let high = old.ranges.last?.upperBound else { return }
    var inner: [Pointer] = []
    var bytes: UInt64 = 0
    var buffer = [UInt64](repeating: 0, count: Self.window / 8)
    let order = [HolderStrength.variables, .stacks, .memory]
    for wanted in order {
      for segment in segments where strength(segment) == wanted && segment.holder == 0 {
        var address = segment.start
        while let part = memory.nextResident(in: address..<segment.end), !part.isEmpty {
          let start = part.lowerBound & ~7
          let count = Int(min(UInt64(Self.window), part.upperBound - start)) & ~7
          let read =
            count == 0
            ? 0 : buffer.withUnsafeMutableBytes { memory.read(at: start, into: .init(rebasing: $0[..<count])) }
          for place in 0..<(read / 8) {
            let value = buffer[place]
            guard value >= low, value < high, old.contains(value) else { continue }
            let source = start &+ UInt64(place) * 8
            if wanted == .memory {
              inner.append(Pointer(source: source, target: value))
            } else {
              words.append((source, Int(segment.root)))
              inner.append(Pointer(source: 0, target: value))
            }
          }
          bytes &+= UInt64(max(count, 8))
          guard inner.count < Self.mostPointers, bytes < Self.mostBytes else {
            starts = []
            return
          }
          // What cannot be read is passed over by pages.
          address = read < count ? ((start &+ UInt64(read)) | 4095) &+ 1 : start &+ UInt64(max(count, 8))
          if address >= segment.end { break }
        }
      }
    }
    starts = Self.unique(inner.map(\.target))
    let glibc = isOld.filter { RootCollector.glibcHeaps.contains(roots[Int($0.root)].name) }
    dropInner(of: glibc.map { $0.start..<$0.end }, memory)
    spread(inner)
  }

  private static func unique(_ some: [UInt64]) -> [UInt64] {
    var unique = some.sorted()
    var last = 0
    for place in unique.indices where place == 0 || unique[place] != unique[last] {
      if place > 0 { last += 1 }
      unique[last] = unique[place]
    }
    if !unique.isEmpty { unique.removeLast(unique.count - last - 1) }
    return unique
  }

  /// Takes out the starts that lie inside of a block in use of glibc's which begins at another one.
  private mutating func dropInner(of heaps: [Range<UInt64>], _ memory: some ScannableMemory) {
    var kept: [UInt64] = []
    kept.reserveCapacity(starts.count)
    var window = ChunkWindow()
    var end: UInt64 = 0
    var heap = 0
    for start in starts {
      if start < end { continue }
      while heap < heaps.count, heaps[heap].upperBound <= start { heap += 1 }
      kept.append(start)
      guard heap < heaps.count, heaps[heap].contains(start), start % 16 == 0 else { continue }
      if let size = window.blockSize(at: start, in: heaps[heap], memory) { end = start &+ size }
    }
    starts = kept
  }

  /// Words of a heap, read a stretch at a time.
  private struct ChunkWindow {
    private var start: UInt64 = 0
    private var words: [UInt64] = []

    /// How many bytes a block of glibc's has that is in use; nil where the words around it do not say so.
    mutating func blockSize(at address: UInt64, in heap: Range<UInt64>, _ memory: some ScannableMemory) -> UInt64? {
      guard let header = word(at: address &- 8, in: heap, memory) else { return nil }
      // The lowest three bits are flags.
      let size = header & ~7
      guard size >= 32, size % 16 == 0, size < heap.upperBound - address,
        let next = word(at: address &- 8 &+ size, in: heap, memory)
      else { return nil }
      // The next one says that this one is in use.
      guard next & 1 == 1, next & ~7 >= 16, next & ~7 <= heap.upperBound - heap.lowerBound else { return nil }
      return size - 8
    }

    private mutating func word(at address: UInt64, in heap: Range<UInt64>, _ memory: some ScannableMemory) -> UInt64? {
      guard address >= heap.lowerBound, address < heap.upperBound - 8, address % 8 == 0 else { return nil }
      if address < start || address - start >= UInt64(words.count * 8) {
        start = address & ~4095
        let count = Int(min(UInt64(OldMemoryOwners.window), heap.upperBound - start)) & ~7
        words = memory.words(at: start, count: count / 8)
      }
      let place = Int((address - start) / 8)
      return address >= start && place < words.count ? words[place] : nil
    }
  }

  /// - Parameter pointers: those of `words` first, in their order, then those in old memory.
  private mutating func spread(_ pointers: [Pointer]) {
    owners = [UInt32](repeating: 0, count: starts.count)
    var edges: [(from: UInt32, to: UInt32)] = []
    edges.reserveCapacity(pointers.count)
    for pointer in pointers.dropFirst(words.count) {
      guard let from = node(of: pointer.source), let to = node(of: pointer.target), from != to else { continue }
      edges.append((UInt32(from), UInt32(to)))
    }
    edges.sort { $0.from < $1.from }
    var first = [UInt32](repeating: 0, count: starts.count + 1)
    for edge in edges { first[Int(edge.from) + 1] += 1 }
    for place in 1..<first.count { first[place] += first[place - 1] }
    var queue: [UInt32] = []
    var next = 0
    // Words of variables come before those of stacks: each kind of them spreads as far as it can first.
    let isStack = words.map { HolderStrength(roots[$0.root].kind) == .stacks }
    for wave in [false, true] {
      for place in words.indices where isStack[place] == wave {
        guard let target = node(of: pointers[place].target), owners[target] == 0 else { continue }
        owners[target] = UInt32(place) + 1
        queue.append(UInt32(target))
      }
      while next < queue.count {
        let current = Int(queue[next])
        next += 1
        for edge in edges[Int(first[current])..<Int(first[current + 1])] where owners[Int(edge.to)] == 0 {
          owners[Int(edge.to)] = owners[current]
          queue.append(edge.to)
        }
      }
    }
  }

  /// The place of the start that an address belongs to.
  private func node(of address: UInt64) -> Int? {
    var low = 0
    var high = starts.count
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] <= address { low = middle + 1 } else { high = middle }
    }
    return low > 0 && old.contains(address) ? low - 1 : nil
  }

  /// The word of a variable or a stack that leads to the old memory at an address; nil when none is known.
  package func owner(of address: UInt64) -> PathBeginning? {
    guard let node = node(of: address), owners[node] != 0 else { return nil }
    let word = words[Int(owners[node]) - 1]
    return PathBeginning(place: .root(roots[word.root]), address: word.address)
  }
}

extension Reachability {
  /// What leads to memory from before the trace, read now.
  package func oldMemoryOwners(memory: some ScannableMemory) -> OldMemoryOwners {
    OldMemoryOwners(roots: roots, segments: context.roots.segments, memory: memory)
  }
}
