import Synchronization

extension PointerScan {
  /// Searches what a plan has left, on all threads; false when the deadline came first.
  func search(
    _ plan: WindowPlan, _ context: ScanContext, _ limits: ReadLimits, isAgain: Bool, readsRoots: Bool
  ) -> Bool {
    let gathered = Mutex((progress: Progress(), isDone: true))
    let edges = edges
    onThreads(max(1, options.threads)) { _ in
      var scanner = WindowScanner(context, memory: limits.memory, isAgain: isAgain, readsRoots: readsRoots)
      var isDone = false
      while !limits.isOver {
        guard let window = plan.next(of: limits.memory) else {
          isDone = true
          break
        }
        scanner.search(window)
      }
      let further = scanner.finish()
      gathered.withLock {
        $0.isDone = $0.isDone && isDone
        $0.progress.add(Progress(scanner, isAgain: isAgain))
        edges.add(further)
      }
    }
    return gathered.withLock {
      progress.add($0.progress)
      return $0.isDone
    }
  }

  /// Reads the blocks that are reached but unread where the flood fill gets to them; false when the deadline came first.
  func followOneByOne(_ context: ScanContext, _ limits: ReadLimits) -> Bool {
    var scanner = WindowScanner(
      context, memory: limits.memory, isAgain: true, readsRoots: false, listsReached: true)
    let flood = FloodFill(context)
    let isDone = flood.spreadReached { block in
      if limits.isOver { return nil }
      states.set(block, states[block].subtracting(.unread).union(.rereading))
      let plan = WindowPlan(
        index: table.index, blocks: block..<block + 1, segments: [], windowBytes: options.windowBytes)
      while let window = plan.next(of: limits.memory) { scanner.search(window) }
      states.set(block, states[block].subtracting(.rereading))
      return scanner.takeNewlyReached()
    }
    edges.add(scanner.finish())
    return isDone
  }
}

extension PointerScan.Progress {
  /// What a scanner has gathered. Memory read again is not counted again.
  init(_ scanner: WindowScanner, isAgain: Bool) {
    scannedBytes = isAgain ? 0 : scanner.scannedBytes
    unreadable = isAgain ? UnreadableMemory() : scanner.unreadable
    pending = scanner.pending
    missedRoots = scanner.missedRoots
    sources = scanner.sources
    bases = scanner.bases
  }

  mutating func add(_ other: Self) {
    scannedBytes &+= other.scannedBytes
    unreadable.add(other.unreadable)
    pending += other.pending
    missedRoots = missedRoots || other.missedRoots
    sources += other.sources
    bases += other.bases
  }
}
