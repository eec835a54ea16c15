import AllocationTracing
import CTraceABI
import Glibc
import TestTools
import Testing
import UnwindHarness

/// The walker must never use what it knows of one library for another, whatever processes map and unmap.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct UnwindMappingTests {
  private let directory: TemporaryDirectory
  private let harness: UnwindHarness
  private let programPath: String
  /// Libraries with the same instructions at the same addresses, but frames of different sizes.
  private let libraries: [String]

  init() throws {
    directory = try TemporaryDirectory()
    programPath = try UnwindProgram.build("libraries.c", in: directory)
    libraries = try [136, 1160, 10248, 200].map { [directory] size in
      try UnwindProgram.build(
        "library.c", options: ["-shared", "-fPIC", "-DFRAME=\(size)"], as: "lib\(size).so",
        in: directory)
    }
    harness = try UnwindHarness(configuration: UnwindStackTests.everySample)
    try harness.attach(path: programPath, function: "checkpoint")
  }

  private func isRight(_ stack: ObservedStack) -> Bool {
    stack.isComplete && stack.frames == stack.expected
  }

  /// A stack may be cut for lack of a table, but what there is of it must be right.
  private func isHonest(_ stack: ObservedStack) -> Bool {
    isRight(stack)
      || stack.status == LT_OUTCOME_BROKEN.rawValue
        && stack.frames == Array(stack.expected.prefix(stack.frames.count))
  }

  @Test func anotherLibraryAtTheSameAddress() throws {
    let program = try UnwindProgram(
      path: programPath, arguments: libraries + libraries, harness: harness)
    var addresses: Set<[String]> = []
    for round in 0..<libraries.count * 2 {
      addresses.insert(program.runPhase())
      // The calls come before user space has looked on even rounds, after it on odd ones.
      if round % 2 == 1 { try harness.loadTables(program.processID) }
      let stacks = try program.observePhase()
      #expect(stacks.count == 20)
      #expect(stacks.allSatisfy(isHonest), "round \(round)")
      if round % 2 == 1 { #expect(stacks.allSatisfy(isRight), "round \(round)") }
      try harness.serveRequests()
    }
    #expect(addresses.count == 1, "the libraries must come to lie at one address: \(addresses)")
    let counters = try harness.counters
    #expect(counters.contains { $0.name == "invalidation" })
  }

  @Test(.enabled(if: findTool("setarch") != nil, "needs setarch"))
  func processesWithTheSameAddresses() throws {
    let programs = try libraries.map {
      try UnwindProgram(
        path: programPath, arguments: Array(repeating: $0, count: 8),
        wrapper: ["setarch", "-R"], harness: harness)
    }
    var addresses: Set<[String]> = []
    for _ in 0..<8 {
      for program in programs {
        addresses.insert(program.runPhase())
        try harness.loadTables(program.processID)
      }
      // One after the other, with the cache as the one before has left it.
      for program in programs {
        let stacks = try program.observePhase()
        #expect(stacks.count == 20)
        let areRight = stacks.allSatisfy(isRight)
        #expect(areRight)
      }
    }
    #expect(addresses.count == 1)
  }

  @Test func addressSpacesRunOut() throws {
    let program = try UnwindProgram(
      path: programPath, arguments: (0..<12).map { libraries[$0 % 2] }, harness: harness)
    for round in 0..<12 {
      if round % 4 == 1 { harness.tables.exhaustAddressSpaces() }
      program.runPhase()
      try harness.loadTables(program.processID)
      let stacks = try program.observePhase()
      let areRight = stacks.allSatisfy(isRight)
      #expect(areRight, "round \(round)")
    }
    #expect(harness.tables.statistics.cacheFlushes == 3)
  }

  @Test func anotherGenerationIsUnknown() throws {
    let program = try UnwindProgram(path: programPath, arguments: libraries, harness: harness)
    program.runPhase()
    try harness.loadTables(program.processID)
    try harness.tables.refresh(slot: 0, generation: 2, processID: program.processID)
    let stacks = try program.observePhase()
    #expect(stacks.allSatisfy { $0.reason == LT_UNWIND_NO_TABLES.rawValue && $0.frames.count == 1 })
    #expect(stacks.count == 20)
  }

  @Test func tablesThatDoNotFitAreNamed() throws {
    let harness = try UnwindHarness(
      configuration: UnwindStackTests.everySample, limits: .init(tableBytes: 64 << 10))
    try harness.attach(path: programPath, function: "checkpoint")
    let program = try UnwindProgram(path: programPath, arguments: libraries, harness: harness)
    program.runPhase()
    try harness.loadTables(program.processID)
    let stacks = try program.observePhase()
    #expect(stacks.count == 20)
    #expect(stacks.allSatisfy { $0.reason == LT_UNWIND_REFUSED_TABLE.rawValue })
    #expect(stacks.allSatisfy(isHonest))
    #expect(harness.tables.refusals.contains { $0.path.contains("libc.so.6") })
    #expect(harness.tables.statistics.tableBytes <= 64 << 10)
  }

  @Test func manyProcessesComeAndGo() throws {
    // More programs than fit at once, so that memory must be given up and used again.
    for round in 0..<20 {
      let program = try UnwindProgram(
        path: programPath, arguments: [libraries[round % libraries.count]], harness: harness)
      program.runPhase()
      try harness.loadTables(program.processID)
      let stacks = try program.observePhase()
      let areRight = stacks.allSatisfy(isRight)
      #expect(areRight, "round \(round)")
      harness.tables.release(slot: UInt32(round))
      if round % 5 == 4 { harness.tables.collect() }
    }
    #expect(harness.tables.statistics.tables < 20)
  }
}

/// Whole programs, with the children that they start.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct UnwindProgramTests {
  private static let stopping = lt_probe_configuration(
    walks: 1, kernel_walks: 0, sample_period: 0, stops: 1)
  private static let library = "/lib/x86_64-linux-gnu/libc.so.6"

  private func complete(_ arguments: [String]) throws -> (part: Double, walks: UInt64) {
    let harness = try UnwindHarness(configuration: Self.stopping)
    try harness.attach(path: Self.library, function: "malloc")
    let status = try harness.run(arguments)
    #expect(status == 0)
    let totals = try harness.totals
    return (Double(totals.complete) / Double(max(1, totals.walks)), totals.walks)
  }

  @Test(.enabled(if: access("/usr/bin/python3", X_OK) == 0, "needs python3"))
  func python() throws {
    let script = """
      import json, re, zlib
      for i in range(1500):
          json.loads(json.dumps({str(k): [k] * 10 for k in range(30)}))
          re.compile('a%d(b|c)*' % (i % 50)).match('a1bcbcbc')
          zlib.compress(bytes(2000))
      """
    let (part, walks) = try complete(["/usr/bin/python3", "-c", script])
    #expect(walks > 10_000)
    #expect(part >= 0.999, "\(part) of \(walks)")
  }

  @Test(.enabled(if: access("/usr/bin/perl", X_OK) == 0, "needs perl"))
  func perl() throws {
    let (part, walks) = try complete([
      "/usr/bin/perl", "-e",
      "my %h; for my $i (1..9000) { $h{$i} = 'x' x ($i % 500); } print length(join '', values %h), qq{\\n}",
    ])
    #expect(walks > 1000)
    #expect(part >= 0.99, "\(part) of \(walks)")
  }

  @Test func childrenHaveStacksFromTheStart() throws {
    // A shell that forks without exec, and programs that it executes.
    let (part, walks) = try complete([
      "/bin/sh", "-c",
      "for i in 1 2 3 4 5 6 7 8 9 10; do (read x < /etc/passwd; echo $x > /dev/null); ls / > /dev/null; done",
    ])
    #expect(walks > 100)
    #expect(part >= 0.9, "\(part) of \(walks)")
  }

  @Test func returnAddressesHiddenByAUretprobe() throws {
    let directory = try TemporaryDirectory()
    let path = try UnwindProgram.build("frames.c", in: directory)
    let harness = try UnwindHarness(configuration: UnwindStackTests.everySample)
    try harness.attach(path: path, function: "checkpoint")
    // Each level of the recursion returns to the kernel's trampoline.
    try harness.attach(path: path, function: "recurse", atReturn: true)
    let program = try UnwindProgram(path: path, harness: harness)
    let stacks = try program.observePhase()
    // The checkpoint, then four returns, innermost first.
    #expect(stacks.count == 5)
    #expect(stacks.allSatisfy { $0.isComplete })
    let callers = ["shallow_recursion", "run_phases", "main"].filter {
      stacks.first?.names.contains($0) == true
    }
    #expect(
      stacks.map {
        Array($0.names.prefix { $0 != "main" }).filter(["checkpoint", "recurse", "shallow_recursion"].contains)
      }
        == [["checkpoint"] + Array(repeating: "recurse", count: 4) + ["shallow_recursion"]]
        + (0..<4).map { Array(repeating: "recurse", count: 3 - $0) + ["shallow_recursion"] })
    #expect(callers.contains("shallow_recursion"))
    let counters = try harness.counters
    #expect(counters.contains { $0.name == "restored_return" })
  }
}
