import Accounting
import BPFRuntime
import CProcessControl
import CTraceABI
import Glibc
import ProcessImage
import TraceModel

/// What a leak check asks the tracer for.
extension AllocationTracer {
  /// Calls `body` for every outstanding heap block of a process, which should stand still meanwhile.
  package func forEachOutstandingBlock(
    of process: TracedProcess, part: Int = 0, of parts: Int = 1,
    _ body: (_ address: UInt64, _ sizeInBytes: UInt64, _ time: UInt64, _ site: UInt32) -> Void
  ) throws(BPFError) {
    let generation = process.generation & (1 << UInt32(LT_KEY_GENERATION_BITS) - 1)
    let slot = process.slot
    try tables.forEachBlock(part: part, of: parts) { block in
      guard block.slot == slot, block.generation == generation else { return }
      body(block.address, block.sizeInBytes, block.time, UInt32(block.site))
    }
  }

  /// About how many blocks are outstanding, in all processes together.
  package var outstandingBlockCount: Int { tables.liveBlocks }

  /// The process's generation as the BPF programs know it: an exec raises it at once.
  package func currentGeneration(of process: TracedProcess) -> UInt32 {
    tables.process(slot: process.slot).generation
  }

  /// Reasons why heap blocks can be in use that are not among the outstanding ones; empty when there are none.
  package func heapGaps(of process: TracedProcess) -> [String] {
    var gaps: [String] = []
    if process.image.isForked {
      gaps.append("forked while traced: heap memory from before counts as roots")
    } else if !process.hasOnlyTracedBlocks {
      gaps.append("attached mid-life: unknown heap counts as roots")
    }
    if tables.sampling.isSampling { gaps.append("only sampled blocks are known: unknown heap counts as roots") }
    if configuration.sizes != 0...UInt64.max {
      gaps.append("blocks of other sizes were left out: unknown heap counts as roots")
    }
    if reader.options.objectPath != nil || reader.options.symbolPrefix != nil {
      gaps.append("only one allocator is traced: unknown heap counts as roots")
    }
    let counters = tables.counterValues()
    // The last thing that a thread does with glibc's heap is to free its cache of free blocks. Nobody saw that cache being
    // allocated, so this unmatched free is not a sign of an unknown block.
    let frees = tables.process(slot: process.slot)
    if counters.indices.contains(where: { counters[$0] != 0 && ctrace_counter_hides_blocks(Int32($0)) })
      || frees.unmatched_frees != frees.unmatched_frees_at_thread_end
    {
      gaps.append("some blocks may not have been recorded: unknown heap counts as roots")
    }
    return gaps
  }

  /// One range that a process has mapped itself and not unmapped.
  package struct OutstandingMapping {
    package var range: Range<UInt64>
    package var time: UInt64
    package var site: UInt32
    /// Whether it is only one of several ranges that are left of what one call mapped, or part of memory that the process has
    /// reserved and uses bit by bit.
    package var isPart: Bool
  }

  package func outstandingMappings(of process: TracedProcess) -> [OutstandingMapping] {
    process.image.ledger.ranges.map { range in
      OutstandingMapping(
        range: range.start..<range.end, time: range.time, site: range.site,
        isPart: range.isReserved || process.image.ledger.partCount(ofCall: range.call) > 1)
    }
  }

  /// The memory that the process's allocators have mapped for themselves.
  package func allocatorMemory(of process: TracedProcess) -> [Range<UInt64>] { process.image.ledger.allocatorMemory }

  /// The named frames of a site's stack; none when its place in the table belongs to another process by now.
  package func frames(ofSite site: UInt32, of process: TracedProcess) -> [Frame] {
    let record = tables.sites.site(at: Int(site))
    guard UInt32(record.process_slot) == process.slot, record.process_generation == process.generation else {
      return []
    }
    let code = RecordedCode(processID: process.processID, imageNumber: process.imageNumber, epoch: record.epoch)
    return naming.frames(of: stackTrace(hash: record.stack_hash), in: code)
  }

  /// A realloc that a thread has begun and not finished: its old block is not in the table any more.
  package struct BegunReallocation {
    package var threadID: Int32
    package var oldAddress: UInt64
    package var oldSizeInBytes: UInt64
    package var newSizeInBytes: UInt64
    package var returnSlot: UInt64
  }

  /// The reallocs that threads of a process are in just now. Throws when the kernel cannot tell: before Linux 6.9 it can do
  /// so only for the first thread of a process.
  package func begunReallocations(ofThreads threads: [Int32]) throws(BPFError) -> [BegunReallocation] {
    guard let states = try? programs.object.map("thread_states") else { return [] }
    var found: [BegunReallocation] = []
    for thread in threads {
      let descriptor = cprocess_open_thread(thread)
      if descriptor < 0 {
        if descriptor == -ESRCH { continue }
        throw BPFError(operation: "open thread \(thread)", code: -descriptor)
      }
      defer { close(descriptor) }
      guard let state = states.value(lt_thread_state.self, for: descriptor), state.stack_pointer != 0,
        state.has_old_block != 0
      else { continue }
      found.append(
        BegunReallocation(
          threadID: thread, oldAddress: state.pointer,
          oldSizeInBytes: state.old_block.size_and_site >> UInt64(LT_SITE_BITS), newSizeInBytes: state.size,
          returnSlot: state.stack_pointer))
    }
    return found
  }

  /// Where the code of a C library function lies in a process's memory; empty when no file there defines that name.
  func code(ofLibraryFunction name: String, in process: TracedProcess) -> [Range<UInt64>] {
    let symbolName = HashedSymbolName(name)
    return process.mappings.compactMap { mapping in
      guard mapping.isFileBacked, mapping.permissions.contains(.execute),
        let file = attacher.files.file(behind: mapping, of: process.processID)
      else { return nil }
      var symbol = ElfSymbolHashTable(file)?.definition(of: symbolName)
      if symbol == nil, mapping.path == process.executable {
        file.forEachSymbol(in: .full) { candidate in
          if candidate.isDefined, candidate.kind == .function, strcmp(candidate.name, name) == 0 { symbol = candidate }
        }
      }
      guard let symbol, let offset = file.fileOffset(ofVirtualAddress: symbol.value), offset >= mapping.fileOffset,
        offset - mapping.fileOffset < mapping.end - mapping.start
      else { return nil }
      let start = mapping.start + (offset - mapping.fileOffset)
      // When a call is the last instruction of a function, its return address is the first byte behind the function.
      return start..<(start + max(symbol.size, 1) + 1)
    }
  }

  /// Where the functions of a process's C library lie that end the process: exit(3), quick_exit(3) and _exit(2).
  package func exitCode(of process: TracedProcess) -> [Range<UInt64>] {
    ["exit", "quick_exit", "_exit"].flatMap { code(ofLibraryFunction: $0, in: process) }
  }

  /// Whether a site maps the stacks of new threads: its call stack then passes through `pthread_create`.
  package func makesThreadStacks(site: UInt32, of process: TracedProcess) -> Bool {
    withCodeAreas(of: process) { areas in
      if let known = areas.threadStackSites[site] { return known }
      let code = areas.threadCode ?? code(ofLibraryFunction: "pthread_create", in: process)
      areas.threadCode = code
      let answer = CodeAreas.passes(code, stackTrace(hash: tables.stackHash(ofSite: site)).addresses)
      areas.threadStackSites[site] = answer
      return answer
    }
  }
}
