/// How a pointer leads to its block.
struct PointerOffset: BitwiseCopyable, Hashable {
  /// 0 for the start, 1 for a place that no heuristic looks at, else one more than the number of the word in the block.
  let code: UInt32

  static let start = PointerOffset(code: 0)
  static let interior = PointerOffset(code: 1)

  /// A word of the block, from 1.
  init(word: UInt32) { code = word + 1 }
  init(code: UInt32) { self.code = code }

  var isStart: Bool { code == 0 }
  /// Whether what the pointer counts for is known without a look at the block.
  var isPlain: Bool { code <= 1 }
  /// For those that are not plain.
  var word: UInt32 { code - 1 }
}

/// Pointers between blocks in words of 32 bits. A *run* is a word with the block that holds them (one more than its number,
/// so that zeroed memory ends a chunk), then a pointer after another: the block that it leads to, its offset there as far
/// as there are bits (else in a word of its own), a bit for the last of the run; and, if sources are kept, a word that says
/// where it was found.
struct EdgeFormat: BitwiseCopyable {
  let targetBits: UInt32
  let keepsSources: Bool

  init(blocks: Int, keepsSources: Bool) {
    targetBits = UInt32(max(1, UInt32.bitWidth - UInt32(blocks).leadingZeroBitCount))
    self.keepsSources = keepsSources
  }

  static let lastBit: UInt32 = 1 << 31
  /// The most words that one pointer takes.
  static let wordsOfEdge = 3

  /// The code that says that the offset is in the next word.
  var escape: UInt32 { (1 << (31 &- targetBits)) &- 1 }
  var targetMask: UInt32 { (1 << targetBits) &- 1 }

  /// Writes a pointer, not yet marked as the last one; the number of words.
  @inline(__always)
  func write(_ edge: Edge, to words: UnsafeMutablePointer<UInt32>) -> Int {
    let target = UInt32(truncatingIfNeeded: edge.target)
    var count = 1
    if edge.offset.code < escape {
      words[0] = target | edge.offset.code << targetBits
    } else {
      words[0] = target | escape << targetBits
      words[1] = edge.offset.code
      count = 2
    }
    if keepsSources {
      words[count] = edge.source
      count &+= 1
    }
    return count
  }

  /// Calls `body` for the pointers of a run; the words it takes.
  @inline(__always) @discardableResult
  func forEachEdge(ofRunAt run: UnsafePointer<UInt32>, _ body: (Edge) -> Void) -> Int {
    var place = 1
    while true {
      let word = run[place]
      place &+= 1
      var code = (word & ~Self.lastBit) >> targetBits
      if code == escape {
        code = run[place]
        place &+= 1
      }
      var source: UInt32 = 0
      if keepsSources {
        source = run[place]
        place &+= 1
      }
      body(Edge(target: Int(word & targetMask), offset: PointerOffset(code: code), source: source))
      if word & Self.lastBit != 0 { return place }
    }
  }
}

/// One pointer of a run.
struct Edge {
  var target: Int
  var offset: PointerOffset
  /// Where the pointer was found in its block, in words, or in bytes where pointers may be anywhere; 0 unless kept.
  var source: UInt32
}
