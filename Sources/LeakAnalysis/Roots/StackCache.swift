import ProcessImage

/// The stacks that glibc keeps for threads to come. The threads that ran on them have ended and been waited for, or were
/// never to be waited for: what is left there is of no use to anybody.
struct StackCache {
  /// Each stack, with the control block of its last thread at its upper end.
  private(set) var stacks: [Stack] = []
  /// Whether the lists were found: then a stack without a thread that is not among these has a thread that somebody can
  /// still wait for, or is about to have one.
  private(set) var isKnown = false

  struct Stack: Hashable {
    var range: Range<UInt64>
    var controlBlock: UInt64
  }

  /// `list` in `struct pthread`, right behind the part that has a fixed size.
  private static let linkOffset: UInt64 = 704
  /// Words of `struct pthread` that are looked at.
  private static let controlBlockWords = 288
  private static let mostStacks = 4096

  /// Follows glibc's lists of stacks. Since 2.34 their heads lie one behind the other in the loader's data: those in use,
  /// those that programs have provided, the first thread's among them, and those kept.
  ///
  /// - Parameter firstThreadBase: the control block of the first thread.
  init(firstThreadBase: UInt64, memory: some MemoryReader) {
    let providedLinks = Self.list(at: firstThreadBase &+ Self.linkOffset, memory)
    guard let provided = providedLinks.first(where: { !Self.isControlBlock($0 &- Self.linkOffset, memory) }) else {
      return
    }
    // Each list is closed, or these are no lists.
    let (used, kept) = (provided &- 16, provided &+ 16)
    let keptLinks = Self.list(at: kept, memory)
    guard Self.isHead(used, memory), Self.isHead(kept, memory), !keptLinks.isEmpty else { return }
    isKnown = true
    for link in keptLinks where link != kept {
      let block = link &- Self.linkOffset
      if let range = Self.stack(of: block, memory) { stacks.append(Stack(range: range, controlBlock: block)) }
    }
  }

  func contains(controlBlock: UInt64) -> Bool { stacks.contains { $0.controlBlock == controlBlock } }

  /// The places on a circular list, itself among them; empty when it is none.
  private static func list(at start: UInt64, _ memory: some MemoryReader) -> [UInt64] {
    var places: [UInt64] = []
    var place = start
    repeat {
      guard places.count < mostStacks, place > 4096, place % 8 == 0, isHead(place, memory),
        let next = memory.value(at: place, as: UInt64.self)
      else { return [] }
      places.append(place)
      place = next
    } while place != start
    return places
  }

  /// Whether the next entry of the list points back to this one.
  private static func isHead(_ place: UInt64, _ memory: some MemoryReader) -> Bool {
    guard let next = memory.value(at: place, as: UInt64.self), next > 4096 else { return false }
    return memory.value(at: next &+ 8, as: UInt64.self) == place
  }

  /// The first and third words of a thread's control block are its address.
  private static func isControlBlock(_ address: UInt64, _ memory: some MemoryReader) -> Bool {
    let words = memory.words(at: address, count: 3)
    return words.count == 3 && words[0] == address && words[2] == address
  }

  /// A control block says where its stack begins and how large it is: both whole pages, and it lies at the end.
  private static func stack(of block: UInt64, _ memory: some MemoryReader) -> Range<UInt64>? {
    guard isControlBlock(block, memory) else { return nil }
    return stack(of: block, words: memory.words(at: block, count: controlBlockWords))
  }

  /// - Parameter words: the control block's.
  static func stack(of block: UInt64, words: [UInt64]) -> Range<UInt64>? {
    for (start, size) in zip(words, words.dropFirst()) {
      guard start > 0, start % 4096 == 0, size > 0, size % 4096 == 0, start < block else { continue }
      let (end, overflow) = start.addingReportingOverflow(size)
      if !overflow, end > block, end - block <= UInt64(controlBlockWords) * 8 + 4096 { return start..<end }
    }
    return nil
  }
}
