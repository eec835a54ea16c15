import ProcessImage
import TraceModel

@testable import LeakAnalysis

/// memcheck's rules, written down as plainly as possible and without regard for time.
struct ReferenceCheck {
  let blocks: [LeakBlock]
  let roots: [Root]
  let values: [RootValue]
  let mappings: [Mapping]
  let memory: FakeMemory
  let options: ScanOptions

  private struct Pointer {
    let target: Int
    let isStart: Bool
  }

  /// The verdicts of the blocks, in their order.
  func verdicts() -> [BlockVerdict] {
    let order = blocks.indices.sorted { blocks[$0].address < blocks[$1].address }
    let edges = blocks.indices.map { pointers(inBlock: $0) }
    var rootPointers: [String?: [Pointer]] = [:]
    var holders: [String] = []
    for kind in roots.map(\.kind) + values.map(\.kind) {
      if case .interpreterHeap(let name) = kind, !holders.contains(name) { holders.append(name) }
    }
    for (kind, word) in rootWords() + values.filter({ options.roots.includes($0.kind) }).map({ ($0.kind, $0.value) }) {
      var holder: String?
      if case .interpreterHeap(let name) = kind { holder = name }
      if let found = pointer(word) { rootPointers[holder, default: []].append(found) }
    }

    var reached: Set<Int> = []
    spread(
      from: (rootPointers[nil] ?? []).filter(\.isStart).map(\.target), to: &reached, edges, startsOnly: true,
      besides: [])
    var held: [Int: String] = [:]
    for holder in holders {
      var found: Set<Int> = []
      let starts = (rootPointers[holder] ?? []).filter(\.isStart).map(\.target)
      spread(from: starts, to: &found, edges, startsOnly: true, besides: reached.union(held.keys))
      for block in found { held[block] = holder }
    }
    let strong = reached.union(held.keys)
    var possible: Set<Int> = []
    let weakStarts = rootPointers.values.joined().map(\.target) + strong.flatMap { edges[$0].map(\.target) }
    spread(from: weakStarts, to: &possible, edges, startsOnly: false, besides: strong)

    var verdicts = blocks.map { _ in BlockVerdict(kind: .definitelyLost) }
    for block in reached { verdicts[block] = BlockVerdict(kind: .stillReachable) }
    for (block, holder) in held { verdicts[block] = BlockVerdict(kind: .stillReachable, holder: holder) }
    for block in possible { verdicts[block] = BlockVerdict(kind: .possiblyLost) }
    let known = strong.union(possible)
    var claimed: Set<Int> = []
    for leader in order where !known.contains(leader) && !claimed.contains(leader) {
      var clique: Set<Int> = []
      spread(from: [leader], to: &clique, edges, startsOnly: false, besides: known.union(claimed))
      for block in clique where block != leader {
        verdicts[leader].keeps += verdicts[block].keeps
        verdicts[leader].keeps += Tally(bytes: blocks[block].sizeInBytes, count: 1)
        verdicts[block] = BlockVerdict(kind: .indirectlyLost)
        claimed.insert(block)
      }
    }
    return verdicts
  }

  private func spread(
    from starts: [Int], to found: inout Set<Int>, _ edges: [[Pointer]], startsOnly: Bool, besides: Set<Int>
  ) {
    var stack = starts
    while let block = stack.popLast() {
      guard !besides.contains(block), found.insert(block).inserted else { continue }
      if let parent = parent(block) { stack.append(parent) }
      stack += edges[block].filter { $0.isStart || !startsOnly }.map(\.target)
    }
  }

  private func end(_ block: Int) -> UInt64 { blocks[block].address + blocks[block].sizeInBytes }

  /// The innermost of the blocks that fit: of those that start last the smallest.
  private func innermost(where fits: (LeakBlock) -> Bool) -> Int? {
    var best: Int?
    for (number, block) in blocks.enumerated() where fits(block) {
      if let known = best.map({ blocks[$0] }),
        (known.address, block.sizeInBytes) > (block.address, known.sizeInBytes)
      {
        continue
      }
      best = number
    }
    return best
  }

  private func parent(_ block: Int) -> Int? {
    let inner = blocks[block]
    return innermost { outer in
      outer != inner && outer.address + outer.sizeInBytes > inner.address
        && (outer.address, inner.sizeInBytes) < (inner.address, outer.sizeInBytes)
    }
  }

  private func owner(of address: UInt64) -> Int? {
    innermost { $0.address <= address && address < $0.address + $0.sizeInBytes }
  }

  private func word(at address: UInt64) -> UInt64? {
    memory.value(at: address, as: UInt64.self)
  }

  private func isCut(_ address: UInt64) -> Bool {
    blocks.contains { address < $0.address && $0.address < address + 8 }
  }

  private func wordAddresses(in range: Range<UInt64>) -> [UInt64] {
    let step = UInt64(options.alignment)
    let first = (range.lowerBound + step - 1) / step * step
    return stride(from: first, to: range.upperBound, by: Int(step)).filter {
      $0 + 8 <= range.upperBound && word(at: $0) ?? 0 != 0 && !isCut($0)
    }
  }

  private func pointers(inBlock block: Int) -> [Pointer] {
    wordAddresses(in: blocks[block].address..<end(block)).compactMap { address in
      guard let value = word(at: address), let found = pointer(value), found.target != block,
        owner(of: address) == block
      else { return nil }
      return found
    }
  }

  private func rootWords() -> [(RootKind, UInt64)] {
    var words: [(RootKind, UInt64)] = []
    for (number, root) in roots.enumerated() where options.roots.includes(root.kind) {
      for address in wordAddresses(in: root.range) where owner(of: address) == nil {
        let isTaken = roots[..<number].contains { $0.range.overlaps(address..<address + 8) }
        if !isTaken, let word = word(at: address) { words.append((root.kind, word)) }
      }
    }
    return words
  }

  /// What a word points to, if anything that counts.
  private func pointer(_ value: UInt64) -> Pointer? {
    let target = innermost { $0.address == value || $0.address <= value && value < $0.address + $0.sizeInBytes }
    guard let target else { return arrayOfNothing(before: value).map { Pointer(target: $0, isStart: true) } }
    if blocks[target].address == value || fitsHeuristic(value, target) { return Pointer(target: target, isStart: true) }
    return options.acceptsInteriorPointers ? Pointer(target: target, isStart: false) : nil
  }

  /// The number 0, behind which an array would begin.
  private func arrayOfNothing(before value: UInt64) -> Int? {
    guard options.heuristics.contains(.newArray), value % 8 == 0, value >= 8, word(at: value - 8) == 0 else {
      return nil
    }
    let last = blocks.filter { $0.address <= value }.map(\.address).max()
    return last == value - 8 ? innermost { $0.address == value - 8 && $0.sizeInBytes == 8 } : nil
  }

  private func fitsHeuristic(_ value: UInt64, _ target: Int) -> Bool {
    let start = blocks[target].address
    let size = blocks[target].sizeInBytes
    guard start % 8 == 0, value % 8 == 0, let first = word(at: start) else { return false }
    let heuristics = options.heuristics
    if heuristics.contains(.standardString), value == start + 24, let capacity = word(at: start + 8),
      capacity < size, 24 + capacity + 1 == size, first <= capacity
    {
      return true
    }
    if heuristics.contains(.length64), value == start + 8, first > 0, size - 8 == first { return true }
    if heuristics.contains(.newArray), value == start + 8, first > 0, (size - 8) % first == 0 { return true }
    if heuristics.contains(.multipleInheritance), value + 8 <= end(target), let base = word(at: value) {
      return isTable(first) && isTable(base)
    }
    return false
  }

  private func isTable(_ address: UInt64) -> Bool {
    func mapping(_ address: UInt64) -> Mapping? { mappings.first { $0.contains(address) && $0.isFileBacked } }
    guard address % 8 == 0, address >= 4096, let table = mapping(address), table.permissions.contains(.read) else {
      return false
    }
    var functions = 0
    for place in stride(from: address, through: min(address + 160, table.end - 8), by: 8) {
      guard let word = word(at: place) else { return false }
      if word == 0 { continue }
      guard let code = mapping(word), code.permissions.contains(.execute) else { return false }
      functions += 1
      if functions == 2 { return true }
    }
    return false
  }
}
