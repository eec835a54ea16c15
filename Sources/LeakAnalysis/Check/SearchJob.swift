import Glibc
import ProcessControl
import ProcessImage
import Quantities
import SystemSupport
import TraceModel

/// One search of a process's memory, from its blocks and roots to their kinds.
final class SearchJob {
  private let scan: PointerScan
  private let roots: RootCollector.Roots
  private let mappings: [Mapping]
  private let memory: ResidentMemory
  private let values: [RootValue]
  /// Code that the process has made; nil when there is nothing to find.
  private let immediates: Immediates?
  private let isRunning: Bool
  private let blockCount: Int
  /// Of the threads that stand still.
  private let stacks: [StackCopy]
  private var outcome: ReadOutcome?
  /// CLOCK_MONOTONIC nanoseconds of the list of blocks.
  let time: UInt64
  private(set) var notes: [String]

  var isComplete: Bool { outcome?.isComplete == true }
  var scannedBytes: UInt64 { outcome?.scannedBytes ?? 0 }

  /// Lists the blocks and roots of a process whose threads stand still, or which `isRunning`.
  init(
    _ subject: some LeakCheckSubject, threads: [StoppedThread], layout: ProcessLayout, settings: LeakCheckSettings,
    generation: UInt32, isRunning: Bool = false
  ) throws {
    let processID = subject.processID
    // Takes in what the process has mapped until now.
    subject.handleEvents()
    guard subject.generation == generation else {
      throw Refusal("process \(processID) started another program while it was checked")
    }
    let heap = subject.heapKnowledge(threads: threads)
    do throws(ProcessError) {
      mappings = try ProcessMaps.read(processID: layout.memoryOwner)
      memory = try ResidentMemory(processID: layout.memoryOwner, mappings: mappings)
      var collector = RootCollector(
        processID: processID, mappings: mappings, threads: threads, threadNames: layout.threadNames,
        modules: layout.modules(in: mappings), interpreterHeaps: layout.interpreterHeaps, heap: heap,
        memory: try RemoteMemory(processID: layout.memoryOwner),
        isRunning: isRunning)
      roots = collector.collect()
      stacks =
        isRunning || !settings.scan.notesHolders
        ? [] : StackCopy.take(of: threads, memory: try RemoteMemory(processID: layout.memoryOwner))
    } catch {
      throw Refusal("process \(processID) cannot be searched: \(error)")
    }
    self.isRunning = isRunning
    var options = settings.scan
    // What else there is in the heap is left over from blocks that were freed. While it runs, it may be blocks that are
    // not yet recorded.
    if heap.isComplete, !isRunning { options.roots.remove(.unknownHeap) }
    time = monotonicNanoseconds()
    var values = roots.values + layout.kernelPointers.read()
    let liveMappings = roots.liveMappings
    var blocks = try Self.collect(subject, layout, threads: options.threads)
    let candidates = heap.mappings.filter { liveMappings[$0.range.lowerBound] == nil }
    for mapping in candidates { blocks.append(mapping.block, tag: mapping.tag) }
    blockCount = blocks.count
    scan = PointerScan(blocks: blocks, options: options)
    for mapping in candidates { scan.countAnyPointer(into: mapping.block) }
    // A block with a stack in it is in use from the stack pointer on. What else may lie in the block is unknown, so the
    // whole block counts as reachable.
    for stack in roots.stackPointers {
      guard let block = scan.block(at: stack.address) else { continue }
      values.append(RootValue(value: block.address, kind: .stack, name: stack.name))
    }
    notes = roots.notes + heap.gaps
    immediates = blockCount > 0 ? Immediates(copying: mappings, memory: memory) : nil
    self.values = values
    if heap.isComplete, isRunning { notes.append("not stopped: unknown heap counts as roots") }
    if roots.missesRegisters, !isRunning {
      notes.append("some threads did not stop: what may be in their registers is possibly lost at most")
    }
  }

  /// Lists the blocks, with several threads.
  private static func collect(
    _ subject: some LeakCheckSubject, _ layout: ProcessLayout, threads: Int
  ) throws -> BlockCollector {
    // A thread takes longer to start than some thousand blocks to list.
    let threads = max(1, min(threads, subject.blockCount >> 14))
    let collectors = UnsafeMutableBufferPointer<BlockCollector>.allocate(capacity: threads)
    let failures = UnsafeMutableBufferPointer<(any Error)?>.allocate(capacity: threads)
    (collectors.baseAddress! + 0).initialize(to: layout.takeCollector())
    for thread in 1..<threads {
      let collector = collectors[0].shareReserve(with: threads - thread)
      (collectors.baseAddress! + thread).initialize(to: collector)
    }
    failures.initialize(repeating: nil)
    defer {
      failures.deinitialize().deallocate()
      collectors.deallocate()
    }
    nonisolated(unsafe) let list = { (part: Int, add: (LeakBlock, UInt32) -> Void) throws -> Void in
      try subject.collectBlocks(part: part, of: threads, into: add)
    }
    nonisolated(unsafe) let (lists, errors) = (collectors, failures)
    onThreads(threads) { thread in
      do { try list(thread) { block, tag in lists[thread].append(block, tag: tag) } } catch { errors[thread] = error }
    }
    var all = (collectors.baseAddress! + 0).move()
    for thread in 1..<threads { all.append((collectors.baseAddress! + thread).move()) }
    if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
    return all
  }

  /// Searches until the deadline, or from where the last call stopped.
  func read(until deadline: ContinuousClock.Instant?) {
    // There is nothing to find. Besides, a forked child that has yet to start its program may share its parent's
    // memory.
    if blockCount == 0 {
      outcome = ReadOutcome(
        isComplete: true, scannedBytes: 0, remainingBytes: 0, unreadableBytes: 0, unreadable: [],
        readBlocksAgain: false)
      return
    }
    outcome = scan.read(
      roots: roots.roots, values: outcome == nil ? values : [], mappings: mappings, memory: memory,
      deadline: deadline)
  }

  /// Searches to the end, and takes in events of processes meanwhile: the buffer in which they wait is small.
  func readAll(_ subject: some LeakCheckSubject) {
    repeat {
      read(until: .now + .milliseconds(50))
      subject.handleEvents()
    } while !isComplete
  }

  func finish() -> LeakCheckResult.Search {
    if let found = immediates?.find(isBlock: { scan.block(at: $0) != nil }) {
      scan.add(found.words.map { RootValue(value: $0, kind: .anonymous, name: "code made at run time") })
      if found.isCut {
        notes.append(
          "code made at run time holds more pointers than are followed; blocks may be called lost that it holds")
      }
    }
    if let outcome, outcome.unreadableBytes > 0 {
      notes.append("\(ByteSize.exact(outcome.unreadableBytes)) of its memory could not be read")
    }
    return LeakCheckResult.Search(
      reachability: scan.classify(), liveMappings: roots.liveMappings,
      missesRegisters: roots.missesRegisters && !isRunning, stacks: stacks)
  }
}

extension TracedMapping {
  var block: LeakBlock {
    LeakBlock(address: range.lowerBound, sizeInBytes: UInt64(range.count), time: time)
  }
}
