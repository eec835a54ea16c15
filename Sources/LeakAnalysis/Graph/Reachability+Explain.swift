extension Reachability {
  /// How the block at an address is reached: a pointer in a root, then one in every block on the path; a shortest path.
  /// For an indirectly lost block the path begins at its clique's leader. nil when no block lies at the address or nothing
  /// leads to it. Needs `ScanOptions.retainsSources`.
  package func explain(address: UInt64) -> [ExplanationStep]? {
    guard let block = index(ofBlockAt: address) else { return nil }
    let paths = paths.withLock { paths in
      if let known = paths { return known }
      let found = PathSearch(self)
      paths = found
      return found
    }
    return paths.path(to: block)
  }
}

/// From where each block is first reached, on shortest paths.
final class PathSearch: @unchecked Sendable {
  private let context: ScanContext
  private let roots: [Root]
  private let values: [RootValue]
  private let sources: [RootPointer]
  private let table: (Int) -> LeakBlock
  /// For each block one more than the block before it on the path.
  private let previous: UnsafeMutablePointer<UInt32>
  private let previousMemory: PageMemory
  /// The pointers from roots that paths begin with, by block.
  private var beginnings: [UInt32: RootPointer] = [:]
  private var queue: [UInt32] = []

  /// Of a block at which a path begins.
  private static let isBeginning = UInt32.max

  init(_ result: Reachability) {
    context = result.context
    roots = result.roots
    values = result.values
    sources = result.sources
    table = { result.block($0).block }
    previousMemory = PageMemory(of: UInt32.self, count: result.count)
    previous = previousMemory.elements(of: UInt32.self)
    // The order of strength: each wave stays among the blocks that no stronger one has reached.
    let starts = sources.filter { context.isStart($0.offset, of: Int($0.block)) }
    begin(starts.filter { $0.holder == 0 })
    spread(from: 0, startsOnly: true)
    let held = queue.count
    begin(starts.filter { $0.holder != 0 }.sorted { $0.holder < $1.holder })
    spread(from: held, startsOnly: true)
    begin(sources)
    spread(from: 0, startsOnly: false)
    for block in 0..<result.count where previous[block] == 0 && result.kind(block) == .definitelyLost {
      let first = queue.count
      previous[block] = Self.isBeginning
      queue.append(UInt32(block))
      spread(from: first, startsOnly: false)
    }
    queue = []
  }

  private func begin(_ pointers: [RootPointer]) {
    for pointer in pointers where previous[Int(pointer.block)] == 0 {
      previous[Int(pointer.block)] = Self.isBeginning
      beginnings[pointer.block] = pointer
      queue.append(pointer.block)
    }
  }

  /// Follows the pointers of the blocks in the queue and of those that they lead to.
  private func spread(from first: Int, startsOnly: Bool) {
    var next = first
    while next < queue.count {
      let block = Int(queue[next])
      next += 1
      visit(context.index.parent(block), from: block)
      context.edges.forEachEdge(of: block) { edge in
        if counts(edge, startsOnly: startsOnly) { visit(edge.target, from: block) }
      }
    }
  }

  private func visit(_ block: Int, from source: Int) {
    guard block >= 0, previous[block] == 0 else { return }
    previous[block] = UInt32(source + 1)
    queue.append(UInt32(block))
  }

  private func counts(_ edge: Edge, startsOnly: Bool) -> Bool {
    context.isStart(edge.offset, of: edge.target)
      || !startsOnly && context.options.acceptsInteriorPointers && context.isInside(edge.offset, of: edge.target)
  }

  /// The steps to a block; nil when nothing leads to it.
  func path(to block: Int) -> [ExplanationStep]? {
    var steps: [ExplanationStep] = []
    var block = block
    while previous[block] != 0, previous[block] != Self.isBeginning {
      let source = Int(previous[block]) - 1
      steps.append(step(from: source, to: block))
      block = source
    }
    if let pointer = beginnings[UInt32(block)] { steps.append(step(from: pointer)) }
    return steps.isEmpty ? nil : steps.reversed()
  }

  private func step(from pointer: RootPointer) -> ExplanationStep {
    let place = Int(pointer.root)
    return ExplanationStep(
      holder: pointer.isValue ? .value(values[place]) : .root(roots[place], address: pointer.address),
      pointer: pointer.pointer, target: table(Int(pointer.block)),
      link: link(pointer.offset, Int(pointer.block)))
  }

  private func step(from source: Int, to target: Int) -> ExplanationStep {
    // The best of the pointers from one block to the other.
    var best: Edge?
    context.edges.forEachEdge(of: source) { edge in
      guard edge.target == target else { return }
      if best == nil || edge.offset.isStart || !counts(best.unsafelyUnwrapped, startsOnly: true) { best = edge }
    }
    guard let best else {
      return ExplanationStep(
        holder: .carved(table(source)), pointer: nil, target: table(target), link: .start)
    }
    let start = context.index.starts[target]
    let offset = context.sourceAddress(best.source, in: source) - context.index.starts[source]
    return ExplanationStep(
      holder: .block(table(source), offset: offset),
      pointer: best.offset.isStart ? start : best.offset.isPlain ? nil : start + UInt64(best.offset.word) * 8,
      target: table(target), link: link(best.offset, target))
  }

  private func link(_ offset: PointerOffset, _ block: Int) -> ExplanationStep.Link {
    if offset.isStart { return .start }
    return context.isStart(offset, of: block) ? .heuristic : .interior
  }
}
