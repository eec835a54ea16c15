import Synchronization

/// Hands out the memory to search, ascending, in stretches that are contiguous and resident. What it knows is the size of
/// a few numbers: terabytes of reserved addresses cost nothing.
final class WindowPlan: @unchecked Sendable {
  private let index: BlockIndex
  private let lastBlock: Int
  private let segments: [RootMap.Segment]
  /// Which blocks to include; nil for all.
  private let includes: ((Int) -> Bool)?
  /// No stretch crosses a multiple of this.
  private let stretchBytes: UInt64
  private let state: Mutex<State>

  private struct State {
    /// All memory below this address has been handed out.
    var position: UInt64 = 0
    /// Everything from `position` to here is to be searched.
    var end: UInt64 = 0
    /// The first block and the first segment that have not gone into `end`.
    var block = 0
    var segment = 0
  }

  private static let pageSize: UInt64 = 4096

  /// - Parameters:
  ///   - blocks: the numbers of blocks to search; nil for all.
  ///   - windowBytes: what is read at once. A thread gets up to four windows, in one aligned stretch: where a page table's
  ///     2 MiB are read by two threads, they wait for its lock.
  init(
    index: BlockIndex, blocks: Range<Int>? = nil, segments: [RootMap.Segment], windowBytes: Int,
    includes: ((Int) -> Bool)? = nil
  ) {
    self.index = index
    lastBlock = blocks?.upperBound ?? index.count
    self.segments = segments
    self.includes = includes
    stretchBytes = UInt64(windowBytes) * 4
    state = Mutex(State(block: blocks?.lowerBound ?? 0))
  }

  /// The next stretch, whose bounds are multiples of 8; nil when there is no more.
  func next(of memory: any ScannableMemory) -> Range<UInt64>? {
    state.withLock { state in
      while extend(&state, target: stretchBytes) {
        guard let resident = memory.nextResident(in: state.position..<state.end) else {
          state.position = state.end
          continue
        }
        let start = resident.lowerBound & ~7
        let limit = start - start % stretchBytes + stretchBytes
        let end = min((resident.upperBound &+ 7) & ~7, limit)
        state.position = end
        state.end = max(state.end, end)
        return start..<end
      }
      return nil
    }
  }

  /// Bytes that have not been handed out, resident or not.
  var remaining: UInt64 {
    var state = state.withLock { $0 }
    var sum: UInt64 = 0
    while extend(&state, target: .max) {
      sum &+= state.end - state.position
      state.position = state.end
    }
    return sum
  }

  /// Moves on to the next memory to search and finds at least `target` contiguous bytes of it, or all there are.
  /// False at the end.
  private func extend(_ state: inout State, target: UInt64) -> Bool {
    if state.position >= state.end {
      state.end = state.position
      repeat {
        guard let start = nextStart(state) else { return false }
        state.position = max(state.position, start & ~7)
        state.end = state.position
        take(&state, startingBefore: start &+ 1)
      } while state.end <= state.position
    }
    while state.end - state.position < target {
      let before = (state.block, state.segment)
      // Takes what begins before the end of the next page, too: between two stretches may be a page that does not exist.
      take(&state, startingBefore: ((state.end &- 1) | (Self.pageSize - 1)) &+ 1 &+ Self.pageSize)
      if before == (state.block, state.segment) { break }
    }
    return true
  }

  /// The start of the first block or segment not taken yet. The kernel's half of the addresses is nobody's.
  private func nextStart(_ state: State) -> UInt64? {
    let block = state.block < lastBlock ? index.starts[state.block] : .max
    let segment = state.segment < segments.count ? segments[state.segment].start : .max
    let start = min(block, segment)
    return start <= UInt64(Int64.max) ? start : nil
  }

  /// Takes blocks and segments that start below a limit.
  private func take(_ state: inout State, startingBefore limit: UInt64) {
    while state.block < lastBlock, index.starts[state.block] < limit {
      if includes?(state.block) ?? true {
        state.end = max(state.end, roundedUp(index.end(state.block)))
      }
      state.block += 1
    }
    while state.segment < segments.count, segments[state.segment].start < limit {
      state.end = max(state.end, roundedUp(segments[state.segment].end))
      state.segment += 1
    }
  }

  private func roundedUp(_ address: UInt64) -> UInt64 { address > .max - 7 ? .max & ~7 : (address + 7) & ~7 }
}
