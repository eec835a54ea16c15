import ProcessControl
import ProcessImage
import TraceModel

/// Finds out what a stopped process can reach without following pointers: registers, stacks, thread-local and global
/// variables, other memory that nobody knows as a block, and what the kernel holds for it.
///
/// The scan gives memory to the first root it lies in, so what is known best comes first.
struct RootCollector {
  let processID: Int32
  let mappings: [Mapping]
  let threads: [StoppedThread]
  let threadNames: [Int32: String]
  let modules: [ModuleImage]
  let interpreterHeaps: [InterpreterHeap]
  let heap: HeapKnowledge
  let memory: any MemoryReader
  /// The process runs meanwhile: what is known of its threads may be outdated.
  let isRunning: Bool

  /// What was found.
  struct Roots {
    var roots: [Root] = []
    var values: [RootValue] = []
    /// Traced mappings that are no blocks, by their start, and what is said of them instead.
    var liveMappings: [UInt64: BlockVerdict] = [:]
    /// Stack pointers inside of memory from an allocator: the block that one lies in is a stack.
    var stackPointers: [(address: UInt64, name: String)] = []
    var notes: [String] = []
    /// Whether registers of some thread could not be read.
    var missesRegisters = false
  }

  private var found = Roots()
  /// Stacks below their stack pointers, caches of stacks, and an allocator's notes: no roots.
  private var dead: [Range<UInt64>] = []
  private var arenas: [Range<UInt64>] = []
  private let stackCache: StackCache?

  init(
    processID: Int32, mappings: [Mapping], threads: [StoppedThread], threadNames: [Int32: String],
    modules: [ModuleImage],
    interpreterHeaps: [InterpreterHeap], heap: HeapKnowledge, memory: any MemoryReader, isRunning: Bool = false
  ) {
    self.processID = processID
    self.mappings = mappings
    self.threads = threads
    self.threadNames = threadNames
    self.modules = modules
    self.interpreterHeaps = interpreterHeaps
    self.heap = heap
    self.memory = memory
    self.isRunning = isRunning
    let first = threads.first { $0.threadID == processID }?.registers
    stackCache = isRunning ? nil : first.map { StackCache(firstThreadBase: $0.threadBase, memory: memory) }
  }

  mutating func collect() -> Roots {
    findHeaps()
    for reallocation in heap.reallocations { addReallocation(reallocation) }
    addHeaps()
    for thread in threads where !isRunning { addThread(thread) }
    for stack in stackCache?.stacks ?? [] { dead.append(stack.range) }
    for heap in interpreterHeaps { add(heap.range, .interpreterHeap(heap.name), heap.name) }
    addTracedMappings()
    addModules()
    addOthers()
    return found
  }

  // MARK: Heaps

  private mutating func findHeaps() {
    for mapping in mappings { arenas += GlibcHeap.arenas(in: mapping, memory: memory) }
    for module in modules {
      let name = module.path.split(separator: "/").last ?? ""
      // In a static program the C library's data is the program's.
      guard name.hasPrefix("libc.so") || name.hasPrefix("libc-2") || modules.count == 1 else { continue }
      for data in module.data {
        if let notes = GlibcHeap.mainArena(in: data, memory: memory) { dead.append(notes) }
      }
    }
  }

  private mutating func addHeaps() {
    for arena in arenas { add(arena, .unknownHeap, Self.arena) }
    for range in heap.allocatorMemory { add(range, .unknownHeap, "memory of an allocator") }
  }

  private static let arena = "heap of a thread arena"
  /// What glibc's heaps are called.
  static let glibcHeaps = ["[heap]", arena]

  private func isHeap(_ address: UInt64) -> Bool {
    if mapping(at: address)?.path == "[heap]" { return true }
    return (arenas + heap.allocatorMemory).contains { $0.contains(address) }
  }

  /// What both blocks of a realloc under way hold is reachable. Where the new one is, its thread knows: some register or
  /// some word of its stack points to it.
  private mutating func addReallocation(_ call: PendingReallocation) {
    let size = min(call.oldSizeInBytes, call.newSizeInBytes)
    guard size > 0 else { return }
    let name = "block that thread \(call.threadID) is reallocating"
    add(call.oldAddress..<(call.oldAddress &+ size), .registers, name)
    guard let thread = threads.first(where: { $0.threadID == call.threadID }), let registers = thread.registers,
      registers.stackPointer < call.returnSlot, call.returnSlot - registers.stackPointer <= 1 << 16
    else { return }
    let frames = memory.words(
      at: registers.stackPointer, count: Int((call.returnSlot - registers.stackPointer) / 8))
    for word in Set(registers.values + registers.vectors + frames) where word % 16 == 0 && word != call.oldAddress {
      guard let mapping = mapping(at: word), mapping.inode == 0, mapping.permissions.contains(.write) else { continue }
      add(word..<min(word &+ size, mapping.end), .registers, name)
    }
  }

  // MARK: Threads

  /// The most bytes that thread-local variables take in a thread's own memory.
  private var threadLocalBytes: UInt64 { modules.reduce(0) { $0 + $1.threadLocalBytes } & ~7 }

  /// More than the C libraries' thread control blocks take.
  private static let controlBlockBytes: UInt64 = 4096

  private mutating func addThread(_ thread: StoppedThread) {
    let name = threadNames[thread.threadID].map { "thread \(thread.threadID) (\($0))" } ?? "thread \(thread.threadID)"
    guard let registers = thread.registers else {
      found.missesRegisters = true
      if let pointer = thread.stackPointer { addStack(pointer, threadBase: nil, name) }
      return
    }
    for value in liveValues(of: registers) where value >= 4096 {
      found.values.append(RootValue(value: value, kind: .registers, name: name))
    }
    addStack(
      registers.stackPointer, from: liveStart(of: registers), threadBase: registers.threadBase, name)
    guard registers.threadBase != 0 else { return }
    addThreadLocals(registers, name)
  }

  /// The registers that the program may use again. By the calling convention a call preserves no vector register: in a
  /// system call that a function of the C library has made they hold what is left over, as they do in one that never
  /// returns. General registers always count: what the program's main function still holds at its end is not lost.
  private func liveValues(of registers: StoppedThread.Registers) -> Set<UInt64> {
    let hasStaleVectors = registers.endsByItself || isInLibraryCall(registers)
    return Set(hasStaleVectors ? registers.values : registers.values + registers.vectors)
  }

  /// Where the used part of a stack begins. What the C library's functions hand to the kernel is in registers: below the
  /// stack pointer is only what functions have left there that ran before.
  private mutating func liveStart(of registers: StoppedThread.Registers) -> UInt64 {
    let pointer = registers.stackPointer
    if registers.endsByItself, let exit = ExitFrames(at: pointer, code: heap.exitCode, memory: memory) {
      if let padding = exit.padding { dead.append(padding) }
      return exit.liveStart
    }
    return isInLibraryCall(registers) ? pointer : pointer &- Processor.redZoneInBytes
  }

  /// Whether a thread is in a system call that a function of the C library has made.
  private func isInLibraryCall(_ registers: StoppedThread.Registers) -> Bool {
    let pointer = registers.instructionPointer
    guard registers.systemCall >= 0, let mapping = mapping(at: pointer) else { return false }
    let name = mapping.path.split(separator: "/").last ?? ""
    return ["libc.so", "libc-2", "libpthread", "ld-musl"].contains { name.hasPrefix($0) }
      || heap.exitCode.contains { $0.contains(pointer) }
  }

  private mutating func addStack(
    _ pointer: UInt64, from start: UInt64? = nil, threadBase: UInt64?, _ name: String
  ) {
    if isHeap(pointer) {
      found.stackPointers.append((pointer, name))
      return
    }
    guard let area = area(at: pointer) else { return }
    let live = max(area.range.lowerBound, (start ?? pointer &- Processor.redZoneInBytes) & ~7)
    if area.isMainStack {
      dead.append(area.range.lowerBound..<live)
      addLiveStack(live..<area.range.upperBound, name)
    } else if let threadBase, area.range.contains(threadBase), threadBase > pointer {
      // The C library's own stack for the thread: nothing lives below the stack pointer.
      let locals = max(live, threadBase - min(threadBase, threadLocalBytes))
      addLiveStack(live..<locals, name)
      add(locals..<area.range.upperBound, .threadLocal, name)
      if area.isExact || !holdsOtherThread(area.range, than: pointer) { dead.append(area.range.lowerBound..<live) }
    } else {
      // A stack that the program made, perhaps one of many in the same memory.
      add(area.range, .stack, name)
    }
    markLive(area)
  }

  private mutating func addLiveStack(_ range: Range<UInt64>, _ name: String) {
    for part in AddressRanges(dead).subtracted(from: range) { add(part, .stack, name) }
  }

  private mutating func addThreadLocals(_ registers: StoppedThread.Registers, _ name: String) {
    let base = registers.threadBase
    if let table = memory.value(at: base &+ 8, as: UInt64.self) { addThreadLocalTable(table, name) }
    guard let area = area(at: base), !area.range.contains(registers.stackPointer) else { return }
    let start = max(area.range.lowerBound, base - min(base, threadLocalBytes))
    add(start..<min(area.range.upperBound, base &+ Self.controlBlockBytes), .threadLocal, name)
    // The first thread's are in memory of the loader's; another's are on its stack, and it runs on another one now.
    if !isHeap(base), area.isExact { add(area.range, .stack, name) }
    markLive(area)
  }

  /// glibc: the second word of a thread's control block points to the second entry of the table of blocks that its dynamic
  /// thread-local variables lie in.
  private mutating func addThreadLocalTable(_ pointer: UInt64, _ name: String) {
    guard pointer > 4096 else { return }
    found.values.append(RootValue(value: pointer - 16, kind: .threadLocal, name: name))
  }

  private func holdsOtherThread(_ range: Range<UInt64>, than pointer: UInt64) -> Bool {
    threads.contains { thread in
      guard let other = thread.stackPointer, other != pointer else { return false }
      return range.contains(other) || thread.registers.map { range.contains($0.threadBase) } == true
    }
  }

  /// What the memory at an address was mapped as.
  private struct Area {
    var range: Range<UInt64>
    /// The call that mapped it is known. Without that, neighbouring memory may seem to belong to it by accident.
    var isExact: Bool
    var isMainStack: Bool
  }

  private func area(at address: UInt64) -> Area? {
    if let traced = heap.mappings.first(where: { $0.range.contains(address) }), !isHeap(address) {
      // The lowest part may be inaccessible, to guard the rest.
      let start = mapping(at: address).map { max($0.start, traced.range.lowerBound) } ?? traced.range.lowerBound
      return Area(range: start..<traced.range.upperBound, isExact: true, isMainStack: false)
    }
    guard let mapping = mapping(at: address) else { return nil }
    return Area(range: mapping.start..<mapping.end, isExact: false, isMainStack: mapping.path == "[stack]")
  }

  /// A traced mapping that a thread runs on is no block that could be lost.
  private mutating func markLive(_ area: Area) {
    guard area.isExact else { return }
    for traced in heap.mappings where traced.range.overlaps(area.range) {
      found.liveMappings[traced.range.lowerBound] = BlockVerdict(kind: .stillReachable)
    }
  }

  // MARK: Mappings

  private mutating func addTracedMappings() {
    let ofInterpreters = AddressRanges(interpreterHeaps.map(\.range))
    for traced in heap.mappings where found.liveMappings[traced.range.lowerBound] == nil {
      if ofInterpreters.overlaps(traced.range),
        let heap = interpreterHeaps.first(where: { $0.range.overlaps(traced.range) })
      {
        // Part of the mapping is such a stack, so all of it is.
        found.liveMappings[traced.range.lowerBound] = BlockVerdict(kind: .stillReachable, holder: heap.name)
        add(traced.range, .interpreterHeap(heap.name), heap.name)
        continue
      }
      switch traced.origin {
      case .threadStack where isRunning:
        found.liveMappings[traced.range.lowerBound] = BlockVerdict(kind: .stillReachable)
        add(traced.range, .stack, "stack of a thread")
      case .threadStack:
        found.liveMappings[traced.range.lowerBound] = BlockVerdict(kind: .stillReachable)
        addUnusedStack(traced.range)
      case .program:
        // Nobody needs a pointer to find what lies below the program break.
        let isBreak = mapping(at: traced.range.lowerBound)?.path == "[heap]"
        guard traced.isPart || isBreak || isManaged(traced.range) else { continue }
        found.liveMappings[traced.range.lowerBound] = BlockVerdict(kind: .stillReachable)
        add(
          traced.range, .anonymous,
          isBreak ? "memory below the program break" : traced.isPart ? "part of a mapping" : "reserved memory")
      }
    }
  }

  /// Whether a mapping is held in other ways than by pointers to it: code, which is called by distances, and addresses that
  /// are reserved, of which the program makes parts accessible as it needs them.
  private func isManaged(_ range: Range<UInt64>) -> Bool {
    var inaccessible: UInt64 = 0
    var address = range.lowerBound
    while address < range.upperBound, let part = mapping(at: address) {
      if part.inode == 0, part.permissions.contains(.execute) { return true }
      let end = min(part.end, range.upperBound)
      if part.permissions.isDisjoint(with: [.read, .write, .execute]) { inaccessible += end - address }
      address = end
    }
    return inaccessible > UInt64(range.count) / 2
  }

  /// A stack on which no thread runs, not yet or no more. What the C library knows of the thread lies at its upper end: the
  /// argument that it is to be started with, or the result that it was ended with.
  private mutating func addUnusedStack(_ range: Range<UInt64>) {
    let name = "stack without a thread"
    let size = min((threadLocalBytes + 2 * Self.controlBlockBytes) & ~7, range.upperBound - range.lowerBound)
    let start = range.upperBound - size
    let words = memory.words(at: start, count: Int(size / 8))
    // The control block's first and third words are its address.
    let found = words.indices.dropLast(2).first { index in
      words[index] == start + UInt64(index) * 8 && words[index + 2] == words[index]
    }
    guard let found else {
      // The thread is being set up. Its control block already has the address of the table of thread-local blocks.
      dead.append(range.lowerBound..<start)
      add(start..<range.upperBound, .threadLocal, name)
      for word in words where word != 0 { addThreadLocalTable(word, name) }
      return
    }
    addThreadLocalTable(words[found + 1], name)
    if stackCache?.contains(controlBlock: words[found]) == true {
      dead.append(range)
    } else if stackCache?.isKnown == true {
      // Of a thread that has ended, or has not begun, only the C library's part matters.
      dead.append(range.lowerBound..<words[found])
      add(words[found]..<range.upperBound, .threadLocal, name)
    } else {
      let locals = max(range.lowerBound, words[found] - min(words[found], threadLocalBytes))
      dead.append(range.lowerBound..<locals)
      add(locals..<range.upperBound, .threadLocal, name)
    }
  }

  private mutating func addModules() {
    let dead = AddressRanges(dead)
    for module in modules {
      let isLoader = module.path.split(separator: "/").last?.hasPrefix("ld-linux") == true
      for data in module.data {
        if isLoader {
          for block in LoaderTables.blocks(in: data, memory: memory) {
            found.values.append(RootValue(value: block, kind: .globals, name: module.path))
          }
        }
        for part in dead.subtracted(from: data) { add(part, .globals, module.path) }
      }
    }
  }

  private mutating func addOthers() {
    let dead = AddressRanges(dead)
    for mapping in mappings {
      guard let (kind, name) = kind(of: mapping) else { continue }
      for part in dead.subtracted(from: mapping.start..<mapping.end) { add(part, kind, name) }
    }
  }

  /// nil for a mapping that cannot hold a pointer to a block.
  private func kind(of mapping: Mapping) -> (RootKind, String)? {
    guard mapping.permissions.contains(.read) else { return nil }
    switch mapping.path {
    case "[heap]": return (.unknownHeap, mapping.path)
    case "[stack]": return (.stack, mapping.path)
    case "[vdso]", "[vsyscall]", "[uprobes]": return nil
    default: break
    }
    if mapping.path.hasPrefix("[vvar") { return nil }
    if mapping.inode == 0, !mapping.permissions.contains(.shared) {
      return (.anonymous, mapping.path.isEmpty ? "anonymous memory" : mapping.path)
    }
    // What a file holds was written by another process, unless this one has written to it.
    guard mapping.permissions.contains(.write), !isDevice(mapping.path) else { return nil }
    return (.anonymous, mapping.path)
  }

  /// Reading the memory of a device may do something to the device.
  private func isDevice(_ path: String) -> Bool {
    path.hasPrefix("/dev/") && !["/dev/shm/", "/dev/zero", "/dev/hugepages"].contains { path.hasPrefix($0) }
  }

  private func mapping(at address: UInt64) -> Mapping? {
    var low = 0
    var high = mappings.count
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].end > address { high = middle } else { low = middle + 1 }
    }
    return low < mappings.count && mappings[low].contains(address) ? mappings[low] : nil
  }

  private mutating func add(_ range: Range<UInt64>, _ kind: RootKind, _ name: String) {
    if !range.isEmpty { found.roots.append(Root(range: range, kind: kind, name: name)) }
  }
}
