import ProcessImage

/// glibc's lists of the stacks that threads run on, have left without being joined, and may run on again.
package struct ThreadLists {
  /// Where glibc keeps what is needed of them, as it tells debuggers.
  package struct Layout: Hashable, Sendable {
    /// The head of the list of stacks in use; behind it, 16 bytes each, those of stacks that programs provide, and of kept ones.
    package var usedHead: UInt64
    /// Offsets in a thread's control block.
    package var link: UInt64
    package var threadID: UInt64
    package var startRoutine: UInt64

    package init(usedHead: UInt64, link: UInt64, threadID: UInt64, startRoutine: UInt64) {
      self.usedHead = usedHead
      self.link = link
      self.threadID = threadID
      self.startRoutine = startRoutine
    }
  }

  package struct Thread: Hashable, Sendable {
    package var controlBlock: UInt64
    package var stack: Range<UInt64>
    package var startRoutine: UInt64
    /// Whether it has ended: the kernel then takes its id out of the control block.
    package var hasEnded: Bool
  }

  /// Threads that run, or have ended and were neither joined nor detached.
  package private(set) var threads: [Thread] = []
  package private(set) var cached: [Range<UInt64>] = []

  private static let mostThreads = 1 << 16
  /// Words of a control block that are looked at.
  private static let controlBlockWords = 288

  /// nil where the lists are not closed: something else lies there, or they are being changed.
  package init?(_ layout: Layout, memory: some MemoryReader) {
    guard let used = Self.links(from: layout.usedHead, memory),
      let kept = Self.links(from: layout.usedHead &+ 32, memory)
    else { return nil }
    threads = used.compactMap { Self.thread(at: $0 &- layout.link, layout, memory) }
    cached = kept.compactMap { Self.thread(at: $0 &- layout.link, layout, memory)?.stack }
  }

  /// The entries of a circular list of two-way links, the head left out.
  private static func links(from head: UInt64, _ memory: some MemoryReader) -> [UInt64]? {
    var links: [UInt64] = []
    var previous = head
    var words = memory.words(at: head, count: 2)
    while words.count == 2, words[0] != head {
      let link = words[0]
      guard links.count < mostThreads, link > 4096, link % 8 == 0 else { return nil }
      words = memory.words(at: link, count: 2)
      // Each entry points back to the one before it, so no part of a list leads back into itself.
      guard words.count == 2, words[1] == previous else { return nil }
      links.append(link)
      previous = link
    }
    return words.count == 2 ? links : nil
  }

  /// nil for what is no control block: its first and third words are its address.
  private static func thread(at block: UInt64, _ layout: Layout, _ memory: some MemoryReader) -> Thread? {
    let words = memory.words(at: block, count: controlBlockWords)
    guard words.count == controlBlockWords, words[0] == block, words[2] == block,
      let stack = StackCache.stack(of: block, words: words), layout.startRoutine / 8 < UInt64(words.count),
      layout.threadID / 8 < UInt64(words.count)
    else { return nil }
    let pair = words[Int(layout.threadID / 8)]
    let threadID = Int32(truncatingIfNeeded: layout.threadID % 8 == 0 ? pair : pair >> 32)
    return Thread(
      controlBlock: block, stack: stack, startRoutine: words[Int(layout.startRoutine / 8)], hasEnded: threadID == 0)
  }

  /// Keeps of the ended threads those that another, later reading found ended, too: a thread that is about to begin has no id
  /// yet.
  package mutating func confirm(by later: ThreadLists) {
    let still = Set(later.threads)
    threads = threads.filter { !$0.hasEnded || still.contains($0) }
  }
}
