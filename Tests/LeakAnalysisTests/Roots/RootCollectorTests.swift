import ProcessControl
import ProcessImage
import Testing
import TraceModel

@testable import LeakAnalysis

/// What counts as a root in processes that do not exist.
@Suite struct RootCollectorTests {
  private static let stack: Range<UInt64> = 0x7ffd_0000_0000..<0x7ffd_0002_0000
  private static let threadStack: Range<UInt64> = 0x7f00_0010_0000..<0x7f00_0020_0000
  private static let heap: Range<UInt64> = 0x5500_0000_0000..<0x5500_0010_0000
  private static let other: Range<UInt64> = 0x7f00_0100_0000..<0x7f00_0110_0000

  private func mapping(
    _ range: Range<UInt64>, _ path: String = "", _ permissions: Mapping.Permissions = [.read, .write], inode: UInt64 = 0
  ) -> Mapping {
    Mapping(
      start: range.lowerBound, end: range.upperBound, fileOffset: 0, permissions: permissions, device: 0, inode: inode,
      path: path, isDeleted: false)
  }

  private func thread(_ id: Int32, stackPointer: UInt64, base: UInt64, _ values: [UInt64] = []) -> StoppedThread {
    StoppedThread(
      threadID: id,
      registers: StoppedThread.Registers(
        stackPointer: stackPointer, instructionPointer: 0, threadBase: base, values: values),
      stackPointer: stackPointer)
  }

  private func collect(
    _ mappings: [Mapping], _ threads: [StoppedThread], _ heap: HeapKnowledge = HeapKnowledge(isComplete: false),
    memory: FakeMemory = FakeMemory([]), modules: [ModuleImage] = [], interpreters: [InterpreterHeap] = [],
    isRunning: Bool = false
  ) -> RootCollector.Roots {
    var collector = RootCollector(
      processID: 7, mappings: mappings.sorted { $0.start < $1.start }, threads: threads, threadNames: [7: "worker"],
      modules: modules,
      interpreterHeaps: interpreters, heap: heap, memory: memory, isRunning: isRunning)
    return collector.collect()
  }

  /// The kind of root that an address belongs to: the first that covers it.
  private func kind(_ address: UInt64, _ roots: RootCollector.Roots) -> RootKind? {
    roots.roots.first { $0.range.contains(address) }?.kind
  }

  @Test func firstStackFromItsPointerUp() {
    let pointer = Self.stack.upperBound - 0x1000
    let roots = collect([mapping(Self.stack, "[stack]")], [thread(7, stackPointer: pointer, base: 0, [0x1234_5678])])
    #expect(kind(pointer, roots) == .stack)
    #expect(kind(Self.stack.upperBound - 1, roots) == .stack)
    #expect(kind(pointer - 128, roots) == .stack)
    #expect(kind(pointer - 129, roots) == nil)
    #expect(kind(Self.stack.lowerBound, roots) == nil)
    #expect(roots.values == [RootValue(value: 0x1234_5678, kind: .registers, name: "thread 7 (worker)")])
  }

  /// While it runs nobody knows where a stack ends.
  @Test func wholeStackOfWhatRuns() {
    let roots = collect([mapping(Self.stack, "[stack]")], [], isRunning: true)
    #expect(kind(Self.stack.lowerBound, roots) == .stack)
  }

  @Test func stackOfAThreadWithItsVariables() {
    let base = Self.threadStack.upperBound - 0x900
    let pointer = Self.threadStack.upperBound - 0x4000
    let module = ModuleImage(path: "/bin/program", data: [], threadLocalBytes: 0x100)
    let roots = collect(
      [mapping(Self.threadStack)], [thread(7, stackPointer: pointer, base: base)], modules: [module])
    #expect(kind(pointer, roots) == .stack)
    #expect(kind(base - 0x101, roots) == .stack)
    #expect(kind(base - 0x100, roots) == .threadLocal)
    #expect(kind(Self.threadStack.upperBound - 1, roots) == .threadLocal)
    #expect(kind(pointer - 0x1000, roots) == nil)
  }

  /// A coroutine's stack may be one of many in the same memory.
  @Test func allOfAStackThatTheProgramMade() {
    let roots = collect(
      [mapping(Self.other)], [thread(7, stackPointer: Self.other.lowerBound + 0x8000, base: 0x7f00_0200_0000)])
    #expect(kind(Self.other.lowerBound, roots) == .stack)
    #expect(kind(Self.other.upperBound - 1, roots) == .stack)
  }

  @Test func stackInsideOfABlock() {
    let pointer = Self.heap.lowerBound + 0x5000
    let roots = collect([mapping(Self.heap, "[heap]")], [thread(7, stackPointer: pointer, base: 0)])
    #expect(roots.stackPointers.map(\.address) == [pointer])
    #expect(kind(pointer, roots) == .unknownHeap)
  }

  // MARK: What is left over

  /// A call preserves no vector register, and below the stack pointer a function of the C library has nothing of its own.
  @Test func systemCallOfTheCLibrary() {
    let library: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0301_0000
    let program: Range<UInt64> = 0x5400_0000_0000..<0x5400_0001_0000
    let pointer = Self.stack.upperBound - 0x1000
    func roots(at instruction: UInt64, systemCall: Int64) -> RootCollector.Roots {
      var stopped = thread(7, stackPointer: pointer, base: 0, [0x1234_5678])
      stopped.registers?.instructionPointer = instruction
      stopped.registers?.vectors = [0x8765_4321]
      stopped.registers?.systemCall = systemCall
      return collect(
        [
          mapping(Self.stack, "[stack]"),
          mapping(library, "/lib/x86_64-linux-gnu/libc.so.6", [.read, .execute], inode: 5),
          mapping(program, "/bin/program", [.read, .execute], inode: 6),
        ], [stopped])
    }
    let inLibrary = roots(at: library.lowerBound, systemCall: 0)
    #expect(inLibrary.values.map(\.value) == [0x1234_5678])
    #expect(kind(pointer, inLibrary) == .stack)
    #expect(kind(pointer - 1, inLibrary) == nil)
    for other in [roots(at: program.lowerBound, systemCall: 0), roots(at: library.lowerBound, systemCall: -1)] {
      #expect(Set(other.values.map(\.value)) == [0x1234_5678, 0x8765_4321])
      #expect(kind(pointer - 128, other) == .stack)
    }
    let ending = roots(at: program.lowerBound, systemCall: 231)
    #expect(ending.values.map(\.value) == [0x1234_5678])
    #expect(kind(pointer - 128, ending) == .stack)
  }

  /// exit(3) called from main: of what lies below main's frame only the registers that were pushed count.
  @Test(arguments: [true, false]) func framesOfExit(alignsOnly: Bool) {
    let code: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0300_001b
    let handlers = code.lowerBound - 0x290
    let pointer = Self.stack.upperBound - 0x1000
    let returnPlace = pointer + 0x60
    let memory = FakeMemory([Self.stack, handlers..<code.upperBound + 16])
    // call handlers, right before the end of the function.
    let distance = UInt64(bitPattern: Int64(handlers) - Int64(code.upperBound - 1))
    memory.write(0xe8 | distance << 8, at: code.upperBound - 6)
    memory.write(alignsOnly ? 0x08ec_8348 : 0x53, at: code.lowerBound)
    memory.write(handlers + 0x132, at: pointer)
    memory.write(code.upperBound - 1, at: returnPlace)
    var stopped = thread(7, stackPointer: pointer, base: 0)
    stopped.registers?.systemCall = 231
    func roots() -> RootCollector.Roots {
      collect(
        [mapping(Self.stack, "[stack]")], [stopped], HeapKnowledge(isComplete: true, exitCode: [code]), memory: memory)
    }
    #expect(kind(returnPlace - 49, roots()) == nil)
    #expect(kind(returnPlace - 48, roots()) == .stack)
    #expect(kind(returnPlace + 8, roots()) == (alignsOnly ? nil : .stack))
    #expect(kind(returnPlace + 16, roots()) == .stack)
    // A handler that ends the process has frames of its own.
    memory.write(0x5400_0000_1000, at: pointer)
    #expect(kind(pointer, roots()) == .stack)
    #expect(kind(returnPlace + 8, roots()) == .stack)
  }

  /// Of stacks that no thread runs on, only those that somebody can still wait for matter.
  @Test(arguments: [true, false]) func stacksKeptForNewThreads(isKept: Bool) {
    let data: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0300_1000
    let first: Range<UInt64> = 0x7f00_0400_0000..<0x7f00_0400_1000
    let (firstBlock, block) = (first.lowerBound + 0x40, Self.threadStack.upperBound - 0x900)
    let memory = FakeMemory([data, first, Self.threadStack, Self.stack])
    func link(_ places: [UInt64]) {
      for (place, next) in zip(places, places.dropFirst() + places.prefix(1)) {
        memory.write(next, at: place)
        memory.write(place, at: next + 8)
      }
    }
    for address in [firstBlock, block] {
      memory.write(address, at: address)
      memory.write(address, at: address + 16)
    }
    memory.write(0x5500_0000_0010, at: block + 8)
    memory.write(Self.threadStack.lowerBound, at: block + 1680)
    memory.write(UInt64(Self.threadStack.count), at: block + 1688)
    let used = data.lowerBound + 0x100
    link([used + 16, firstBlock + 704])
    link(isKept ? [used] : [used, block + 704])
    link(isKept ? [used + 32, block + 704] : [used + 32])
    let knowledge = HeapKnowledge(
      isComplete: true,
      mappings: [TracedMapping(range: Self.threadStack, time: 1, tag: 0, origin: .threadStack)])
    let module = ModuleImage(path: "/bin/program", data: [], threadLocalBytes: 0x104)
    for known in [knowledge, HeapKnowledge(isComplete: false)] where isKept || known.isComplete {
      let roots = collect(
        [mapping(Self.stack, "[stack]"), mapping(first), mapping(Self.threadStack)],
        [thread(7, stackPointer: Self.stack.upperBound - 0x1000, base: firstBlock)], known, memory: memory,
        modules: [module])
      #expect(kind(block, roots) == (isKept ? nil : .threadLocal))
      #expect(kind(block - 8, roots) == nil)
      #expect(kind(Self.threadStack.lowerBound, roots) == nil)
      if known.isComplete { #expect(roots.values.contains { $0.value == 0x5500_0000_0000 }) }
    }
  }

  /// The loader keeps the address of a block that a table of its lies in only in the table.
  @Test func tablesOfTheLoader() {
    let data: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0300_1000
    let memory = FakeMemory([data, Self.heap])
    let (table, older) = (Self.heap.lowerBound + 0x880, Self.heap.lowerBound + 0x1040)
    for (address, words) in [(table, [older, table - 16, 1, 67]), (older, [0, older - 48, 3, 3])] {
      for (place, word) in words.enumerated() { memory.write(word, at: address + UInt64(place) * 8) }
    }
    memory.write(table, at: data.lowerBound + 0x168)
    // Anything else that the loader points to.
    memory.write(Self.heap.lowerBound + 0x2000, at: data.lowerBound + 0x170)
    let module = ModuleImage(path: "/lib64/ld-linux-x86-64.so.2", data: [data], threadLocalBytes: 0)
    let roots = collect([mapping(data, "/lib64/ld-linux-x86-64.so.2", inode: 5)], [], memory: memory, modules: [module])
    #expect(Set(roots.values.map(\.value)) == [table - 16, older - 48])
  }

  // MARK: Mappings that were traced

  private func traced(_ range: Range<UInt64>, _ origin: TracedMapping.Origin = .program, isPart: Bool = false)
    -> HeapKnowledge
  {
    HeapKnowledge(
      isComplete: true,
      mappings: [TracedMapping(range: range, time: 1, tag: 0, origin: origin, isPart: isPart)])
  }

  @Test func tracedMappingIsABlock() {
    let roots = collect([mapping(Self.other)], [], traced(Self.other))
    // The scan leaves out of a root what blocks lie in it.
    #expect(roots.liveMappings.isEmpty)
    #expect(kind(Self.other.lowerBound, roots) == .anonymous)
  }

  /// What a program mapped can be one mapping with what others mapped behind it: the search for its end went on for ever.
  @Test(arguments: [false, true]) func tracedMappingThatIsPartOfOne(isReserved: Bool) {
    let whole = Self.other.lowerBound - 0x2000..<Self.other.upperBound + 0x2000
    let roots = collect([mapping(whole, "", isReserved ? [] : [.read, .write])], [], traced(Self.other))
    #expect(roots.liveMappings[Self.other.lowerBound]?.kind == (isReserved ? .stillReachable : nil))
  }

  @Test func partOfATracedMappingIsARoot() {
    let roots = collect([mapping(Self.other)], [], traced(Self.other, isPart: true))
    #expect(roots.liveMappings == [Self.other.lowerBound: BlockVerdict(kind: .stillReachable)])
    #expect(kind(Self.other.lowerBound, roots) == .anonymous)
  }

  @Test func stackOfALiveThreadIsNoBlock() {
    let base = Self.threadStack.upperBound - 0x900
    let roots = collect(
      [mapping(Self.threadStack)], [thread(7, stackPointer: base - 0x2000, base: base)],
      traced(Self.threadStack, .threadStack))
    #expect(roots.liveMappings[Self.threadStack.lowerBound]?.kind == .stillReachable)
    #expect(kind(Self.threadStack.lowerBound, roots) == nil)
    #expect(kind(base, roots) == .threadLocal)
  }

  /// Of a stack that waits for the next thread only what the C library knows of the last one counts.
  @Test func stackWithoutAThread() {
    let base = Self.threadStack.upperBound - 0x900
    let memory = FakeMemory([Self.threadStack])
    for offset in [0, 16] as [UInt64] { memory.write(base, at: base + offset) }
    memory.write(Self.heap.lowerBound + 0x110, at: base + 8)
    let roots = collect(
      [mapping(Self.threadStack)], [], traced(Self.threadStack, .threadStack), memory: memory,
      modules: [ModuleImage(path: "/bin/program", data: [], threadLocalBytes: 0x40)])
    #expect(kind(base - 0x41, roots) == nil)
    #expect(kind(base - 0x40, roots) == .threadLocal)
    #expect(roots.values.map(\.value) == [Self.heap.lowerBound + 0x100])
    #expect(roots.liveMappings[Self.threadStack.lowerBound]?.kind == .stillReachable)
  }

  /// A realloc under way: the old block, and the new one wherever the thread's registers or stack point to it.
  @Test func blockBeingReallocated() {
    let pointer = Self.stack.upperBound - 0x1000
    let memory = FakeMemory([Self.stack])
    let (old, new, unrelated) = (
      Self.heap.lowerBound + 0x100, Self.heap.lowerBound + 0x4000, Self.heap.lowerBound + 0x8000
    )
    memory.write(new, at: pointer + 16)
    memory.write(unrelated, at: pointer + 0x200)
    var knowledge = HeapKnowledge(isComplete: true)
    knowledge.reallocations = [
      PendingReallocation(
        threadID: 7, oldAddress: old, oldSizeInBytes: 64, newSizeInBytes: 128, returnSlot: pointer + 0x100)
    ]
    let roots = collect(
      [mapping(Self.stack, "[stack]"), mapping(Self.heap, "[heap]")], [thread(7, stackPointer: pointer, base: 0)],
      knowledge, memory: memory)
    #expect(kind(old, roots) == .registers)
    #expect(kind(old + 63, roots) == .registers)
    #expect(kind(old + 64, roots) == .unknownHeap)
    #expect(kind(new + 63, roots) == .registers)
    #expect(kind(unrelated, roots) == .unknownHeap)
  }

  // MARK: Other memory

  @Test func kindsOfMappings() {
    let file: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0301_0000
    func kindOf(_ mapping: Mapping) -> RootKind? { kind(mapping.start, collect([mapping], [])) }
    #expect(kindOf(mapping(Self.other)) == .anonymous)
    #expect(kindOf(mapping(Self.other, "", [.read])) == .anonymous)
    #expect(kindOf(mapping(Self.other, "", [])) == nil)
    #expect(kindOf(mapping(Self.heap, "[heap]")) == .unknownHeap)
    #expect(kindOf(mapping(file, "/usr/lib/data", [.read], inode: 5)) == nil)
    #expect(kindOf(mapping(file, "/usr/lib/data", [.read, .write], inode: 5)) == .anonymous)
    #expect(kindOf(mapping(file, "/dev/shm/shared", [.read, .write, .shared], inode: 5)) == .anonymous)
    #expect(kindOf(mapping(file, "/dev/dri/card0", [.read, .write, .shared], inode: 5)) == nil)
    #expect(kindOf(mapping(file, "[vdso]", [.read, .execute])) == nil)
    #expect(kindOf(mapping(file, "[vvar]", [.read])) == nil)
  }

  @Test func dataOfModulesWithWhatIsProtectedSince() {
    let data: Range<UInt64> = 0x7f00_0300_0000..<0x7f00_0302_0000
    let module = ModuleImage(path: "/lib/libx.so", data: [data], threadLocalBytes: 0)
    let protected = mapping(data.lowerBound..<data.lowerBound + 0x1000, "/lib/libx.so", [.read], inode: 5)
    let roots = collect([protected], [], modules: [module])
    #expect(kind(data.lowerBound, roots) == .globals)
    #expect(roots.roots.first?.name == "/lib/libx.so")
  }

  @Test func interpreterHeapComesBeforeOtherMemory() {
    let arena = Self.other.lowerBound + 0x4000..<Self.other.lowerBound + 0x8000
    let roots = collect(
      [mapping(Self.other)], [], interpreters: [InterpreterHeap(range: arena, name: "CPython arena")])
    #expect(kind(arena.lowerBound, roots) == .interpreterHeap("CPython arena"))
    #expect(kind(arena.upperBound, roots) == .anonymous)
  }

  @Test func tracedMappingWithAnInterpreterHeapIsNoBlock() {
    let arena = Self.other.lowerBound + 0x4000..<Self.other.lowerBound + 0x8000
    let roots = collect(
      [mapping(Self.other)], [], traced(Self.other),
      interpreters: [InterpreterHeap(range: arena, name: "CPython arena")])
    #expect(kind(Self.other.lowerBound, roots) == .interpreterHeap("CPython arena"))
    #expect(
      roots.liveMappings[Self.other.lowerBound] == BlockVerdict(kind: .stillReachable, holder: "CPython arena"))
  }

  @Test func threadThatDidNotStop() {
    let pointer = Self.stack.upperBound - 0x1000
    let roots = collect(
      [mapping(Self.stack, "[stack]")],
      [StoppedThread(threadID: 7, registers: nil, stackPointer: pointer)])
    #expect(roots.missesRegisters)
    #expect(kind(pointer, roots) == .stack)
    #expect(kind(pointer - 0x1000, roots) == nil)
  }
}
