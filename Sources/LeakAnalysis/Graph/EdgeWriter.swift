/// One thread's way into an `EdgeStore`.
struct EdgeWriter {
  private let store: EdgeStore
  private let format: EdgeFormat
  private let words: UnsafeMutablePointer<UInt32>
  private var next = 0
  private var end = 0
  /// The block whose run is being written, or −1, and the last pointer in it.
  private var block = -1
  private var lastEdge = 0
  /// Runs of blocks that have others.
  private(set) var furtherRuns: [EdgeStore.FurtherRun] = []

  init(_ store: EdgeStore) {
    self.store = store
    format = store.format
    words = store.words
  }

  /// Adds a pointer found in a block; false when the budget is used up.
  @inline(__always)
  mutating func append(_ edge: Edge, source: Int) -> Bool {
    if block != source || end &- next < EdgeFormat.wordsOfEdge {
      guard startRun(source) else { return false }
    }
    lastEdge = next
    next &+= format.write(edge, to: words + next)
    return true
  }

  @inline(never)
  private mutating func startRun(_ source: Int) -> Bool {
    endRun()
    if end - next < EdgeFormat.wordsOfEdge + 1 {
      guard let chunk = store.takeChunk() else { return false }
      next = chunk.lowerBound
      end = chunk.upperBound
    }
    block = source
    words[next] = UInt32(source + 1)
    if !store.enter(run: next, of: source) {
      furtherRuns.append(EdgeStore.FurtherRun(block: UInt32(source), place: UInt32(next)))
    }
    next += 1
    return true
  }

  /// Completes the run that is being written, if any.
  mutating func endRun() {
    if block >= 0 { words[lastEdge] |= EdgeFormat.lastBit }
    block = -1
  }
}
