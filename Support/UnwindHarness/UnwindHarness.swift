import AllocationTracing
import BPFRuntime
import CTraceABI
import CTraceObjects
import Glibc
import ProcessImage

/// Runs `BPF/programs/unwind_probe.bpf.c`: attaches it to functions, keeps the walker's tables, and collects what it measures.
package final class UnwindHarness {
  package let tables: UnwindTables
  private let object: BPFObject
  private let requests: RingBuffer
  private let samples: RingBuffer
  private var links: [Link] = []
  private let libraries = LibraryCopies()
  /// The thread groups that were given a slot here; children find their own.
  private var nextSlot: UInt32 = 0
  /// Time spent in `UnwindTables.refresh`, and how often it ran.
  package private(set) var refreshTime = Duration.zero
  package private(set) var refreshCount = 0

  package init(
    configuration: lt_probe_configuration, limits: UnwindTables.Limits = .init()
  ) throws {
    let open = try OpenBPFObject(name: "unwind_probe", bytes: Self.objectBytes())
    try open.configure(configuration)
    try open.setAttachType(Link.MultiKind.entry.attachType, program: "probe_enter")
    object = try open.load()
    tables = try UnwindTables(object: object, limits: limits)
    requests = try RingBuffer(map: object.map("lt_unwind_requests"))
    samples = try RingBuffer(map: object.map("probe_samples"))
    for (program, tracepoint) in [
      ("probe_fork", "sched_process_fork"), ("probe_exec", "sched_process_exec"),
    ] {
      links.append(try Link.rawTracepoint(object.program(program), name: tracepoint))
    }
  }

  private static func objectBytes() throws -> UnsafeRawBufferPointer {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
      .joined(separator: "/")
    let processor = String(cString: ctrace_processor())
    let bytes = try readFile("\(root)/Sources/CTraceObjects/objects/\(processor)/unwind_probe.bpf.o")
    // For good: libbpf keeps referring to it.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    copy.copyBytes(from: bytes)
    return UnsafeRawBufferPointer(copy)
  }

  // MARK: - Attaching

  /// Walks whenever a function is entered (an exact pc), or when it returns. What `run` runs is given copies of shared
  /// libraries: a probe of the host's own would slow every process down.
  package func attach(path original: String, function: String, atReturn: Bool = false) throws {
    let path = try libraries.copy(of: original) ?? original
    let file = try ElfFile(path: path)
    var address: UInt64?
    for table in [ElfFile.SymbolTable.dynamic, .full] where address == nil {
      file.forEachSymbol(in: table) { symbol in
        if symbol.isDefined, String(cString: symbol.name) == function { address = symbol.value }
      }
    }
    guard let address, let offset = file.fileOffset(ofVirtualAddress: address) else {
      throw HarnessError(description: "no function \(function) in \(path)")
    }
    let place = Link.Place(fileOffset: offset, cookie: 0)
    links.append(
      atReturn
        ? try Link.perfUprobe(
          object.program("probe_exit"), isReturn: true, path: path, place: place, processID: -1)
        : try Link.uprobes(
          object.program("probe_enter"), kind: .entry, path: path, places: [place], processID: 0))
  }

  /// Traces a process (and, from now on, its children).
  package func trace(_ processID: Int32) throws {
    let slot = nextSlot
    nextSlot += 1
    // Children get slots after those given out here.
    try object.map("probe_next_slot").set(max(nextSlot, 100), for: UInt32(0))
    try object.map("probe_slots").set(slot, for: UInt32(processID))
  }

  /// Loads the tables of a process at once instead of when it first needs them.
  package func loadTables(_ processID: Int32) throws {
    guard let slot = try slot(of: processID) else { return }
    try refresh(slot: slot, processID: processID)
  }

  /// Identifies the mappings that the walker uses for a slot now; 0 if it knows none.
  package func addressSpace(slot: UInt32) throws -> UInt32 {
    let process = try object.map("lt_unwind_processes").value(lt_unwind_process.self, for: slot)
    return UInt32((process?.view ?? 0) >> 48)
  }

  private func slot(of processID: Int32) throws -> UInt32? {
    try object.map("probe_slots").value(UInt32.self, for: UInt32(processID))
  }

  private func refresh(slot: UInt32, processID: Int32, address: UInt64 = 0) throws {
    let time = try ContinuousClock().measure {
      _ = try tables.refresh(
        slot: slot, generation: 1, processID: processID, address: address)
    }
    refreshTime += time
    refreshCount += 1
  }

  // MARK: - Running

  /// Answers the walker's requests, and lets go on what was stopped for them.
  package func serveRequests() throws {
    var pending: [lt_unwind_request] = []
    requests.consume { record in
      guard record.count >= MemoryLayout<lt_unwind_request>.size else { return }
      pending.append(record.loadUnaligned(as: lt_unwind_request.self))
    }
    for request in pending {
      try refresh(
        slot: request.process_slot, processID: Int32(bitPattern: request.process_id),
        address: request.address)
    }
    tables.rearmRequests()
  }

  /// Runs a program to its end, traced from its first instruction on. Returns its exit status.
  package func run(
    _ arguments: [String], onSample: (borrowing ProbeSample) -> Void = { _ in },
    onStart: (Int32) -> Void = { _ in }
  ) throws -> Int32 {
    let processID = try spawnStopped(arguments)
    onStart(processID)
    try trace(processID)
    kill(processID, SIGCONT)
    while true {
      var status: Int32 = 0
      let result = waitpid(processID, &status, WNOHANG | WUNTRACED)
      let isStopped = result == processID && status & 0xff == 0x7f
      let children = try stoppedChildren(of: processID)
      // Before they go on.
      try serveRequests()
      drainSamples(onSample)
      for child in children { kill(child, SIGCONT) }
      if isStopped {
        kill(processID, SIGCONT)
      } else if result != 0 {
        return result == processID ? status : -1
      }
      poll(nil, 0, 1)
    }
  }

  /// Traced processes that the probe has stopped and that are not ours to wait for.
  private func stoppedChildren(of parent: Int32) throws -> [Int32] {
    let stops = try totals.stops
    let now = ContinuousClock.now
    // The signal comes a moment after it is counted.
    if stops != lastStops { searchesUntil = now + .milliseconds(50) }
    lastStops = stops
    guard now < searchesUntil || now >= nextSearch else { return [] }
    nextSearch = now + .milliseconds(20)
    return try object.map("probe_slots").keys(of: UInt32.self).map { Int32(bitPattern: $0) }.filter { child in
      guard child != parent, let text = try? readFile("/proc/\(child)/stat") else { return false }
      // The name, in parentheses, may hold anything.
      return text.lastIndex(of: UInt8(ascii: ")")).map { text[$0...].starts(with: Array(") T".utf8)) } ?? false
    }
  }
  private var lastStops: UInt64 = 0
  private var searchesUntil = ContinuousClock.now
  private var nextSearch = ContinuousClock.now

  package func drainSamples(_ onSample: (borrowing ProbeSample) -> Void) {
    samples.consume { record in
      if let sample = ProbeSample(record) { onSample(sample) }
    }
  }

  /// A child that has stopped itself before it executes the program.
  private func spawnStopped(_ arguments: [String]) throws -> Int32 {
    let shell = ["/bin/sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"] + arguments
    var argv: [UnsafeMutablePointer<CChar>?] = shell.map { strdup($0) }
    argv.append(nil)
    var variables: [UnsafeMutablePointer<CChar>?] = libraries.environment.map { strdup($0) }
    variables.append(nil)
    defer { for text in argv + variables { free(text) } }
    // Threads of a test runner block signals, and a child inherits that.
    var attributes = posix_spawnattr_t()
    var noSignals = sigset_t()
    posix_spawnattr_init(&attributes)
    sigemptyset(&noSignals)
    posix_spawnattr_setsigmask(&attributes, &noSignals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    defer { posix_spawnattr_destroy(&attributes) }
    var processID: pid_t = 0
    guard posix_spawn(&processID, "/bin/sh", nil, &attributes, argv, variables) == 0 else {
      throw HarnessError(description: "cannot start /bin/sh")
    }
    var status: Int32 = 0
    waitpid(processID, &status, WUNTRACED)
    return processID
  }

  // MARK: - Results

  package var totals: ProbeTotals {
    get throws { try ProbeTotals(map: object.map("probe_totals")) }
  }

  /// The walker's counters that are not 0, by name.
  package var counters: [(name: String, count: UInt64)] {
    get throws {
      let map = try object.map("lt_unwind_counters")
      return (0..<Int32(LT_UNWIND_COUNTER_COUNT.rawValue)).compactMap { counter in
        let count = map.sumOverCPUs(index: UInt32(counter))[0]
        return count == 0 ? nil : (String(cString: ctrace_unwind_counter_name(counter)), count)
      }
    }
  }
}

package struct HarnessError: Error, CustomStringConvertible {
  package let description: String
  package init(description: String) { self.description = description }
}
