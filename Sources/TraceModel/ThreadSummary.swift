/// The threads of a process and the memory of their stacks, as they are at the time of a report.
package struct ThreadSummary: Hashable, Codable, Sendable {
  package var processID: Int32
  /// Threads that run.
  package var running: Int
  /// Stacks that the C library keeps for threads to come; nil where its lists are not known.
  package var cachedStacks: Int?
  /// Of all these stacks and those of ended threads together: addresses, and what of it is in memory or swapped out. Traced
  /// stacks only where the C library's lists are not known.
  package var reservedBytes: UInt64
  package var residentBytes: UInt64
  /// Threads that have ended, and whose stacks are kept because nobody has joined or detached them; nil where the C library's
  /// lists are not known. Largest count first.
  package var ended: [EndedThreads]?

  package init(
    processID: Int32, running: Int, cachedStacks: Int? = nil, reservedBytes: UInt64, residentBytes: UInt64,
    ended: [EndedThreads]? = nil
  ) {
    self.processID = processID
    self.running = running
    self.cachedStacks = cachedStacks
    self.reservedBytes = reservedBytes
    self.residentBytes = residentBytes
    self.ended = ended
  }

  package var endedCount: Int { (ended ?? []).reduce(0) { $0 &+ $1.count } }

  /// Ended threads that began in the same function and were created by the same stack.
  package struct EndedThreads: Hashable, Codable, Sendable {
    package var count: Int
    package var reservedBytes: UInt64
    package var residentBytes: UInt64
    /// The function that they began in.
    package var start: [Frame]
    /// The stack that created them, innermost first; empty where it was not seen.
    package var creator: [Frame]

    package init(count: Int, reservedBytes: UInt64, residentBytes: UInt64, start: [Frame], creator: [Frame]) {
      self.count = count
      self.reservedBytes = reservedBytes
      self.residentBytes = residentBytes
      self.start = start
      self.creator = creator
    }
  }
}
