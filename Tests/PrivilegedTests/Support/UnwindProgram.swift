import CTraceABI
import CUnwindOracle
import Glibc
import ProcessImage
import TestTools
import UnwindHarness

/// One stack that the walker found, and the same by elfutils.
struct ObservedStack {
  var frames: [UInt64]
  var outcome: UInt32
  /// By libdwfl, from a copy of the stack; cut at the walker's limit.
  var expected: [UInt64]
  var expectedIsComplete: Bool
  /// Names of the program's own functions among the frames, leaf first.
  var names: [String]

  var status: UInt32 { outcome & 0xff }
  var reason: UInt32 { outcome >> 8 & 0xff }
  var isComplete: Bool { status == LT_OUTCOME_COMPLETE.rawValue }
}

/// A program of `Tests/Programs/unwind`, built for a test and traced.
final class UnwindProgram {
  let path: String
  private let process: RunningProgram
  private let harness: UnwindHarness
  private let symbols: [(address: UInt64, name: String)]

  var processID: Int32 { process.processID }

  /// Starts an executable that waits for its first phase, and loads its tables.
  init(path: String, arguments: [String] = [], wrapper: [String] = [], harness: UnwindHarness)
    throws
  {
    self.path = path
    self.harness = harness
    symbols = try Self.functions(of: path)
    process = try RunningProgram(wrapper + [path] + arguments)
    try awaitStart()
    try harness.trace(process.processID)
    try harness.loadTables(process.processID)
  }

  /// Where the programs' sources are.
  static let sourceDirectory =
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    + "/Programs/unwind/"

  /// Compiles a source file of `Tests/Programs/unwind`. Returns the path of the result.
  static func build(
    _ source: String, options: [String] = [], as name: String? = nil, in directory: TemporaryDirectory
  ) throws -> String {
    let output = directory.file(name ?? source + ".out")
    let compiler = source.hasSuffix(".cpp") ? "g++" : "gcc"
    try run(
      [compiler, "-O2", "-fomit-frame-pointer", sourceDirectory + source, "-o", output]
        + options + ["-ldl", "-pthread"])
    return output
  }

  /// Until the program has been executed and its libraries are loaded: it waits for input then.
  private func awaitStart() throws {
    let hasStarted = eventually {
      guard readLink("/proc/\(processID)/exe") == path, let state = try? readFile("/proc/\(processID)/syscall") else {
        return false
      }
      return String(decoding: state, as: UTF8.self).hasPrefix("0 ")  // read
    }
    if !hasStarted { throw HarnessError(description: "\(path) does not start") }
  }

  /// Runs one phase, without looking at stacks. Returns what the program printed before "done".
  @discardableResult
  func runPhase() -> [String] {
    process.send("\n")
    var lines: [String] = []
    while case let line = process.readLine(), line != "done", line != "" { lines.append(line) }
    return lines
  }

  /// Runs one phase and returns the stacks at each checkpoint.
  func observePhase() throws -> [ObservedStack] {
    runPhase()
    return try takeStacks()
  }

  /// The stacks seen since the last call, each compared with the mappings as they are now.
  func takeStacks() throws -> [ObservedStack] {
    var oracle: OpaquePointer?
    guard oracle_attach(processID, &oracle) == 0, let oracle else {
      throw HarnessError(description: "libdwfl does not attach to \(path)")
    }
    defer { oracle_detach(oracle) }
    let bias = try loadBias()
    var stacks: [ObservedStack] = []
    harness.drainSamples { sample in
      guard sample.processID == processID else { return }
      var expected = [UInt64](repeating: 0, count: 1000)
      var isComplete = false
      let count = oracle_unwind(oracle, sample.pointer, &expected, 1000, &isComplete)
      let frames = sample.frames
      stacks.append(
        ObservedStack(
          frames: frames, outcome: sample.outcome,
          expected: Array(expected.prefix(min(Int(count), Int(LT_MAX_STACK_DEPTH)))),
          expectedIsComplete: isComplete,
          names: frames.enumerated().compactMap { index, address in
            name(of: address - (index == 0 ? 0 : 1) &- bias)
          }))
    }
    return stacks
  }

  /// Where a function of the program is loaded.
  func address(of function: String) throws -> UInt64? {
    let bias = try loadBias()
    return symbols.first { $0.name == function }.map { $0.address + bias }
  }

  private func loadBias() throws -> UInt64 {
    guard try ElfFile(path: path).loadSegments.first?.virtualAddress == 0 else { return 0 }
    let maps = try ProcessMaps.read(processID: processID)
    return maps.first { $0.path == path && $0.fileOffset == 0 }?.start ?? 0
  }

  private func name(of address: UInt64) -> String? {
    guard let last = symbols.last(where: { $0.address <= address }), address - last.address < 4096
    else { return nil }
    return last.name
  }

  private static func functions(of path: String) throws -> [(UInt64, String)] {
    var functions: [(UInt64, String)] = []
    try ElfFile(path: path).forEachSymbol(in: .full) { symbol in
      if symbol.isDefined, symbol.kind == .function {
        functions.append((symbol.value, String(cString: symbol.name)))
      }
    }
    return functions.sorted { $0.0 < $1.0 }
  }
}
