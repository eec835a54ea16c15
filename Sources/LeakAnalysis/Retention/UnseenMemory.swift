import ProcessImage
import TraceModel

/// Finds memory of a process that it did not have when it was first seen and that no traced call accounts for. What lies where
/// something was mapped before is left out: it may have been reserved then and be touched only now.
package struct UnseenMemory {
  /// A stretch of one mapping.
  package struct Part: Hashable, Sendable {
    package var range: Range<UInt64>
    package var kind: UnexplainedGrowth.Class
    package init(range: Range<UInt64>, kind: UnexplainedGrowth.Class) {
      self.range = range
      self.kind = kind
    }
  }

  /// Ascending.
  package private(set) var parts: [Part] = []

  /// Where Go's runtime maps its heap, on every system with addresses of 64 bits.
  private static let goHeap: Range<UInt64> = 0xc0_0000_0000..<0xe0_0000_0000

  /// - Parameters:
  ///   - mappings: the process's, ascending.
  ///   - known: what it had before, what traced calls mapped, and the heaps of allocators, in any order.
  ///   - programBreak: the last one that a traced call set; nil where it is not known: then the heap counts as known.
  ///   - hasGoHeap: whether the process has Go's runtime.
  package init(
    mappings: [Mapping], known: [Range<UInt64>], programBreak: UInt64? = nil, hasGoHeap: Bool = false
  ) {
    let ranges = AddressRanges(known)
    let programs = Set(mappings.lazy.filter { $0.isFileBacked && $0.permissions.contains(.execute) }.map(\.file))
    var previous: Mapping?
    for mapping in mappings {
      defer { previous = mapping }
      guard !mapping.permissions.isDisjoint(with: [.read, .write]),
        var kind = Self.kind(of: mapping, after: previous, isCode: { programs.contains($0.file) })
      else { continue }
      var range = mapping.start..<mapping.end
      if kind == .heap {
        guard let programBreak, programBreak > 0 else { continue }
        range = max(mapping.start, min((programBreak &+ 4095) & ~4095, mapping.end))..<mapping.end
      }
      if kind == .anonymous, hasGoHeap, range.overlaps(Self.goHeap) { kind = .runtimeHeap }
      parts += ranges.subtracted(from: range).filter { !$0.isEmpty }.map { Part(range: $0, kind: kind) }
    }
  }

  /// The class of a mapping that is the process's own memory; nil where it is none, or belongs to a program or library.
  private static func kind(
    of mapping: Mapping, after previous: Mapping?, isCode: (Mapping) -> Bool
  ) -> UnexplainedGrowth.Class? {
    let path = mapping.path
    if path == "[heap]" { return .heap }
    if path.hasPrefix("[stack") { return .stack }
    if path.hasPrefix("[anon_shmem:") { return .sharedMemory }
    if path.hasPrefix("[anon:") { return .anonymous }
    if path.hasPrefix("/anon_hugepage") { return .hugePages }
    if path.hasPrefix("/dev/zero") { return mapping.permissions.contains(.shared) ? .sharedMemory : .anonymous }
    if ["/SYSV", "/memfd:", "/dev/shm/"].contains(where: path.hasPrefix) { return .sharedMemory }
    if mapping.isFileBacked {
      let isOwn =
        !mapping.permissions.contains(.shared) && !isCode(mapping) && !path.hasPrefix("/dev/")
      return isOwn ? .file : nil
    }
    guard path.isEmpty, mapping.inode == 0 else { return nil }
    // Behind the data of a program or library lies the part of it that begins as zeros.
    if let previous, previous.end == mapping.start, previous.isFileBacked, isCode(previous) {
      return nil
    }
    return .anonymous
  }

  /// Leaves out parts in which one of these addresses lies: they belong to an allocator whose own calls are not seen.
  ///
  /// - Parameter forEachBlock: calls what it is given with the address of each traced block.
  package mutating func removeParts(holding forEachBlock: ((UInt64) -> Void) -> Void) {
    var isHolding = [Bool](repeating: false, count: parts.count)
    forEachBlock { address in
      var (low, high) = (0, parts.count)
      while low < high {
        let middle = (low + high) / 2
        if parts[middle].range.upperBound > address { high = middle } else { low = middle + 1 }
      }
      if low < parts.count, parts[low].range.contains(address) { isHolding[low] = true }
    }
    parts = zip(parts, isHolding).filter { !$0.1 }.map(\.0)
  }

  /// Keeps what another reading found, too: a mapping that came or went between two looks is in one of them only.
  package mutating func intersect(_ other: UnseenMemory) {
    let ranges = AddressRanges(other.parts.map(\.range))
    parts = parts.flatMap { part in
      let outside = AddressRanges(ranges.subtracted(from: part.range))
      return outside.subtracted(from: part.range).map { Part(range: $0, kind: part.kind) }
    }
  }

  /// Bytes in memory and swap by class, largest first.
  package func residentBytes(of processID: Int32, mappings: [Mapping]) -> [UnexplainedGrowth.Part] {
    var sums: [UnexplainedGrowth.Class: UInt64] = [:]
    // Of shared memory those pages count that this process has touched.
    let asPrivate = mappings.map { mapping in
      var copy = mapping
      copy.permissions.remove(.shared)
      return copy
    }
    guard let memory = try? ResidentMemory(processID: processID, mappings: asPrivate) else { return [] }
    var written = WrittenPages(processID: processID)
    for part in parts {
      sums[part.kind, default: 0] &+=
        part.kind == .file ? written.bytes(in: part.range) : memory.bytes(in: part.range)
    }
    return sums.filter { $0.value > 0 }.map { UnexplainedGrowth.Part(kind: $0.key, bytes: $0.value) }
      .sorted { ($0.bytes, $1.kind.rawValue) > ($1.bytes, $0.kind.rawValue) }
  }
}
