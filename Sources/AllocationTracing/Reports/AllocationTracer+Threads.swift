import Accounting
import CTraceABI
import LeakAnalysis
import ProcessImage
import TraceModel

/// Threads and the memory of their stacks.
extension AllocationTracer {
  /// nil for a process with one thread only and no stacks of others.
  func threads(of process: TracedProcess) -> TraceSnapshot.Threads? {
    guard let memory = try? RemoteMemory(processID: process.threadID) else { return nil }
    let traced = process.image.ledger.ranges.filter { process.image.threadStackSites.contains($0.site) }
    let layout = threadLayout(of: process)
    let lists = layout.flatMap { Self.lists($0, memory) }
    let ended = (lists?.threads ?? []).filter(\.hasEnded)
    let running = ProcessInfo.threads(of: process.processID).count
    guard running > 1 || !ended.isEmpty || !traced.isEmpty, let mappings = try? reader.mappings(of: process.processID),
      let resident = try? ResidentStacks(processID: process.threadID, mappings: mappings)
    else { return nil }
    var stacks = lists.map { $0.threads.map(\.stack) + $0.cached } ?? []
    if lists == nil { stacks = traced.map { $0.start..<$0.end } }
    var summary = ThreadSummary(
      processID: process.processID, running: running, cachedStacks: lists?.cached.count,
      reservedBytes: stacks.reduce(0) { $0 &+ ($1.upperBound - $1.lowerBound) },
      residentBytes: stacks.reduce(0) { $0 &+ resident.bytes(in: $1) })
    if lists != nil { summary.ended = [] }
    var threads = TraceSnapshot.Threads(summary: summary, epoch: spaces.epoch(of: process))
    threads.ended = groups(of: ended, process, resident)
    return threads
  }

  /// Lists that change while they are read are read again.
  private static func lists(_ layout: ThreadLists.Layout, _ memory: RemoteMemory) -> ThreadLists? {
    for _ in 0..<3 {
      guard var lists = ThreadLists(layout, memory: memory) else { continue }
      guard lists.threads.contains(where: \.hasEnded) else { return lists }
      guard let later = ThreadLists(layout, memory: memory) else { continue }
      lists.confirm(by: later)
      return lists
    }
    return nil
  }

  private func groups(
    of ended: [ThreadLists.Thread], _ process: TracedProcess, _ resident: ResidentStacks
  ) -> [TraceSnapshot.Threads.Ended] {
    guard !ended.isEmpty else { return [] }
    struct Key: Hashable {
      var start: UInt64
      var stackHash: UInt64
      var epoch: UInt32
    }
    var sums: [Key: ThreadSummary.EndedThreads] = [:]
    for thread in ended {
      let birth = process.image.threadBirths.byControlBlock[thread.controlBlock]
      // A control block that was given to another thread unseen has another start.
      var creator: lt_site?
      if let birth, birth.start == thread.startRoutine, let site = birth.site {
        creator = self.creator(site: site, process)
      }
      let key = Key(start: thread.startRoutine, stackHash: creator?.stack_hash ?? 0, epoch: creator?.epoch ?? 0)
      var sum =
        sums[key]
        ?? ThreadSummary.EndedThreads(count: 0, reservedBytes: 0, residentBytes: 0, start: [], creator: [])
      sum.count += 1
      sum.reservedBytes &+= thread.stack.upperBound - thread.stack.lowerBound
      sum.residentBytes &+= resident.bytes(in: thread.stack)
      sums[key] = sum
    }
    return sums.map {
      TraceSnapshot.Threads.Ended(start: $0.key.start, stackHash: $0.key.stackHash, epoch: $0.key.epoch, sums: $0.value)
    }
    .sorted { ($0.sums.count, $1.start, $1.stackHash) > ($1.sums.count, $0.start, $0.stackHash) }
  }

  /// A site of the kernel's table, unless its place belongs to another process by now.
  private func creator(site: UInt32, _ process: TracedProcess) -> lt_site? {
    guard Int(site) < tables.sites.count else { return nil }
    let record = tables.sites.site(at: Int(site))
    let isOwn = UInt32(record.process_slot) == process.slot && record.process_generation == process.generation
    return isOwn ? record : nil
  }

  /// Where glibc's lists lie: it names the places for debuggers. nil for other C libraries, static programs and glibc before
  /// 2.34.
  private func threadLayout(of process: TracedProcess) -> ThreadLists.Layout? {
    if let known = process.image.threadLayout { return known }
    let layout = findThreadLayout(of: process)
    process.image.threadLayout = .some(layout)
    return layout
  }

  private func findThreadLayout(of process: TracedProcess) -> ThreadLists.Layout? {
    var offsets: [String: UInt64] = [:]
    var global: UInt64?
    let names = ["rtld_global__dl_stack_used", "pthread_list", "pthread_tid", "pthread_start_routine"]
    for mapping in process.mappings where mapping.isFileBacked && mapping.permissions.contains(.execute) {
      guard let file = attacher.files.file(behind: mapping, of: process.processID),
        let table = ElfSymbolHashTable(file)
      else { continue }
      if mapping.isLoader, let symbol = table.definition(of: Self.loaderData),
        let codeAddress = file.virtualAddress(ofFileOffset: mapping.fileOffset)
      {
        global = mapping.start &- codeAddress &+ symbol.value
      }
      for name in names {
        // Its size in bits, how many there are, and its offset.
        guard let symbol = table.definition(of: HashedSymbolName("_thread_db_" + name)),
          let words = file.contents(atVirtualAddress: symbol.value, size: 12)
        else { continue }
        offsets[name] = UInt64(words.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
      }
    }
    guard let global, let used = offsets[names[0]], let link = offsets[names[1]], let thread = offsets[names[2]],
      let start = offsets[names[3]]
    else { return nil }
    return ThreadLists.Layout(usedHead: global &+ used, link: link, threadID: thread, startRoutine: start)
  }

  private static let loaderData = HashedSymbolName("_rtld_global")
}
