/// Tells which root an address belongs to.
struct RootMap: Sendable {
  /// Ascending and disjoint.
  private(set) var segments: [Segment] = []
  /// The names of interpreter heaps; a holder's number is one more than its place.
  private(set) var holders: [String] = []

  struct Segment: Hashable, Sendable {
    let start: UInt64
    let end: UInt64
    /// Its place in the array of roots.
    let root: UInt32
    /// 0, or the number of the interpreter heap.
    let holder: UInt16
  }

  /// Memory that several roots cover belongs to the first of them. What the policy leaves out belongs to none.
  init(_ roots: [Root], values: [RootValue], policy: RootPolicy) {
    for kind in roots.map(\.kind) + values.map(\.kind) {
      if case .interpreterHeap(let name) = kind, !holders.contains(name), holders.count < Int(UInt16.max) {
        holders.append(name)
      }
    }
    let order = roots.indices.filter { !roots[$0].range.isEmpty }
      .sorted { roots[$0].range.lowerBound < roots[$1].range.lowerBound }
    let edges = Set(order.flatMap { [roots[$0].range.lowerBound, roots[$0].range.upperBound] }).sorted()
    // The roots that cover the stretch between two edges, the first given on top.
    var covering = MinimumHeap()
    var next = 0
    for (edge, end) in zip(edges, edges.dropFirst()) {
      while next < order.count, roots[order[next]].range.lowerBound == edge {
        covering.insert(order[next])
        next += 1
      }
      while let top = covering.minimum, roots[top].range.upperBound <= edge { covering.removeMinimum() }
      guard let top = covering.minimum, policy.includes(roots[top].kind) else { continue }
      if let last = segments.last, last.end == edge, last.root == UInt32(top) {
        segments[segments.count - 1] = Segment(
          start: last.start, end: end, root: last.root, holder: last.holder)
      } else {
        segments.append(Segment(start: edge, end: end, root: UInt32(top), holder: number(of: roots[top].kind)))
      }
    }
  }

  /// The number of an interpreter heap; 0 for all other kinds.
  func number(of kind: RootKind) -> UInt16 {
    guard case .interpreterHeap(let name) = kind, let place = holders.firstIndex(of: name) else { return 0 }
    return UInt16(place + 1)
  }

  /// The first segment that ends behind the address.
  func firstSegment(endingAfter address: UInt64) -> Int {
    segments.withUnsafeBufferPointer { firstPosition(in: $0) { $0.end > address } }
  }
}

/// A binary heap of numbers.
private struct MinimumHeap {
  private var elements: [Int] = []

  var minimum: Int? { elements.first }

  mutating func insert(_ element: Int) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, elements[(child - 1) / 2] > elements[child] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeMinimum() {
    elements.swapAt(0, elements.count - 1)
    elements.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < elements.count else { return }
      if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
      guard elements[child] < elements[parent] else { return }
      elements.swapAt(child, parent)
      parent = child
    }
  }
}
