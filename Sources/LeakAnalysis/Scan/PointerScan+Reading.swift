import Synchronization

extension PointerScan {
  /// Searches what a plan has left, on all threads; false when the deadline came first.
  func search(
    _ plan: WindowPlan, _ limits: ReadLimits, makingScanner: @Sendable () -> WindowScanner
  ) -> Bool {
    let gathered = Mutex((progress: Progress(), isDone: true))
    let edges = edges
    onThreads(max(1, options.threads)) { _ in
      var scanner = makingScanner()
      var isDone = false
      while !limits.isOver {
        guard let stretch = plan.next(of: limits.memory) else {
          isDone = true
          break
        }
        scanner.search(stretch)
      }
      let further = scanner.finish()
      gathered.withLock {
        $0.isDone = $0.isDone && isDone
        $0.progress.add(Progress(scanner))
        edges.add(further)
      }
    }
    return gathered.withLock {
      progress.add($0.progress)
      return $0.isDone
    }
  }

  /// Resolves the words that wait in the log: finds out which blocks they point to.
  func resolveLog(_ context: ScanContext, round: PointerResolver.Round) {
    let gathered = Mutex(Progress())
    let (log, edges) = (log, edges)
    onThreads(max(1, options.threads)) { _ in
      var resolver = PointerResolver(context, round: round)
      while let chunk = log.take() { resolver.resolve(chunk) }
      let further = resolver.finish()
      gathered.withLock {
        $0.add(Progress(resolver))
        edges.add(further)
      }
    }
    gathered.withLock { progress.add($0) }
  }

  /// Reads the blocks that are reached but unread where the flood fill gets to them; false when the deadline came first.
  func followOneByOne(_ context: ScanContext, _ limits: ReadLimits) -> Bool {
    var scanner = WindowScanner(again: context, memory: limits.memory, readsRoots: false, listsReached: true)
    let flood = FloodFill(context)
    let isDone = flood.spreadReached { block in
      if limits.isOver { return nil }
      states.set(block, states[block].subtracting(.unread).union(.rereading))
      let plan = WindowPlan(
        index: table.index, blocks: block..<block + 1, segments: [], windowBytes: options.windowBytes)
      while let stretch = plan.next(of: limits.memory) { scanner.search(stretch) }
      scanner.flush()
      states.set(block, states[block].subtracting(.rereading))
      return scanner.resolver.takeNewlyReached()
    }
    edges.add(scanner.finish())
    return isDone
  }
}

extension PointerScan.Progress {
  /// The results of one scanner.
  init(_ scanner: WindowScanner) {
    self.init(scanner.resolver)
    scannedBytes = scanner.scannedBytes
    unreadable = scanner.unreadable
    bases = scanner.bases
  }

  init(_ resolver: PointerResolver) {
    pending = resolver.pending
    missedRoots = resolver.missedRoots
    sources = resolver.sources
    weak = resolver.weak
    rootPointers = resolver.rootPointers
  }

  mutating func add(_ other: Self) {
    scannedBytes &+= other.scannedBytes
    unreadable.add(other.unreadable)
    pending += other.pending
    missedRoots = missedRoots || other.missedRoots
    sources += other.sources
    weak += other.weak
    rootPointers += other.rootPointers
    bases += other.bases
  }
}
