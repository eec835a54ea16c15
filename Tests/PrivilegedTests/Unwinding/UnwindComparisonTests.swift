import CTraceABI
import Glibc
import TestTools
import Testing
import UnwindHarness

/// Hundreds of stacks of real and of made-up programs, each against the one that libdwfl finds in a copy of it.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct UnwindComparisonTests {
  /// libdwfl looks while the program is stopped.
  private static func stopping(period: UInt32) -> lt_probe_configuration {
    lt_probe_configuration(
      walks: 1, kernel_walks: 0, sample_period: period,
      stops: UInt32(LT_PROBE_STOP_FOR_TABLES | LT_PROBE_STOP_FOR_SAMPLES))
  }
  private static let cLibrary = "/lib/x86_64-linux-gnu/libc.so.6"

  /// Runs a command to its end and compares 1 of `period` stacks at calls of a function, and no more than `limit`.
  private func compare(
    _ command: [String], function: String = "malloc", in object: String = Self.cLibrary, period: UInt32 = 1,
    limit: Int = 1000, isExpected: (borrowing ProbeSample) -> Bool = { _ in true }
  ) throws -> StackComparison {
    let harness = try UnwindHarness(configuration: Self.stopping(period: period))
    try harness.attach(path: object, function: function)
    let comparison = StackComparison(harness: harness)
    let status = try harness.run(command) { sample in
      if comparison.compared < limit, isExpected(sample) { comparison.compare(sample) }
    }
    #expect(status == 0, "\(command)")
    return comparison
  }

  /// No stack differs, hundreds are the same to the last frame, and hardly any is cut: those before the first tables.
  private func expectSame(
    _ comparison: StackComparison, atLeast count: Int = 300, complete part: Double = 0.98, _ comment: Comment
  ) {
    #expect(comparison.differences.isEmpty, comment)
    #expect(comparison.compared >= count, "\(comment): \(comparison.compared) compared, \(comparison.missed) missed")
    #expect(Double(comparison.equal) >= Double(comparison.compared) * part, "\(comment): \(comparison.equal) equal")
    #expect(comparison.cut <= 3 + comparison.compared / 100, "\(comment): \(comparison.cut) cut")
  }

  // MARK: C

  @Test(arguments: [
    ["-O2"], ["-O3"], ["-Os"], ["-O0"], ["-O2", "-fcf-protection=full"], ["-O2", "-fno-omit-frame-pointer"],
    ["-O2", "-fstack-protector-all", "-fstack-clash-protection"], ["-O2", "-static"],
  ])
  func stacksOfAllShapes(options: [String]) throws {
    let directory = try TemporaryDirectory()
    let path = try UnwindProgram.build("mixture.c", options: options, in: directory)
    let comparison = try compare([path, "500"], function: "checkpoint", in: path)
    // Stacks of several large frames do not fit into the copy.
    expectSame(comparison, atLeast: 500, complete: 0.95, "\(options)")
  }

  @Test(.enabled(if: findTool("clang") != nil, "needs clang"))
  func stacksOfAllShapesByClang() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("mixture")
    let source = UnwindProgram.sourceDirectory + "mixture.c"
    try run(["clang", "-O2", "-w", "-fomit-frame-pointer", source, "-o", path, "-pthread"])
    expectSame(
      try compare([path, "500"], function: "checkpoint", in: path), atLeast: 500, complete: 0.95, "clang")
  }

  /// The copies of the stack are of memory that the child shares with its parent, which outlives it.
  @Test(arguments: [("checkpoint", "vfork"), ("dup2", "posix_spawn")])
  func childrenThatShareMemory(function: String, kind: Comment) throws {
    let directory = try TemporaryDirectory()
    let path = try UnwindProgram.build("children.c", in: directory)
    let harness = try UnwindHarness(configuration: Self.stopping(period: 1))
    try harness.attach(path: function == "dup2" ? Self.cLibrary : path, function: function)
    let comparison = StackComparison(harness: harness)
    var children: Set<Int32> = []
    var parent: Int32?
    let status = try harness.run([path, "300"]) { sample in
      guard sample.processID != parent else { return }
      children.insert(sample.processID)
      comparison.compare(sample, as: parent)
    } onStart: {
      parent = $0
    }
    #expect(status == 0)
    #expect(children.count >= 250)
    expectSame(comparison, atLeast: 250, kind)
  }

  // MARK: Other languages

  @Test func exceptions() throws {
    let directory = try TemporaryDirectory()
    let path = try UnwindProgram.build("exceptions.cpp", in: directory)
    expectSame(try compare([path, "40"], function: "checkpoint", in: path), atLeast: 400, "exceptions")
    // Inside the unwinder of exceptions, too, which finds the file of every frame by this.
    let inside = try compare(
      [path, "40"], function: "_dl_find_object", period: 5)
    expectSame(inside, "while exceptions are unwound")
  }

  @Test func templates() throws {
    let path = try Programs.compile("code/templates.cpp")
    expectSame(try compare([path, "30"], period: 100), "C++")
  }

  @Test(.enabled(if: findTool("rg") != nil, "needs ripgrep"))
  func rust() throws {
    let rg = try #require(findTool("rg"))
    expectSame(try compare([rg, "--count", "mal+oc", "/usr/include"], period: 20), "Rust")
  }

  @Test(.enabled(if: findTool("swiftc") != nil, "needs swiftc"), arguments: ["-O", "-Onone"])
  func swift(optimisation: String) throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("shelf.swift", Self.swiftProgram)
    let path = directory.file("shelf")
    try run(["swiftc", optimisation, "-o", path, source])
    expectSame(try compare([path], period: 10), "Swift \(optimisation)")
  }

  private static let swiftProgram = """
    protocol Item { var title: String { get } }
    struct Book: Item { let title: String; let pages: [Int] }
    final class Box: Item {
      var content: [any Item]
      init(_ content: [any Item]) { self.content = content }
      var title: String { content.map(\\.title).sorted { $0.count < $1.count }.joined(separator: ", ") }
    }
    enum Failure: Error { case tooDeep(Int) }
    func fill(_ depth: Int, _ seed: Int) throws -> any Item {
      if depth > 6 { throw Failure.tooDeep(depth) }
      if (seed + depth) % 4 == 0 { return Book(title: "book \\(seed) of some length", pages: Array(0..<seed % 50)) }
      return Box(try (0..<2).map { try fill(depth + 1, seed &* 31 &+ $0) })
    }
    var shelf: [String: [any Item]] = [:]
    var failures = 0
    for seed in 0..<400 {
      do { shelf["row \\(seed % 17) of the shelf", default: []].append(try fill(0, seed)) } catch { failures += 1 }
    }
    print(shelf.values.joined().reduce(0) { $0 + $1.title.count }, failures)

    """

  @Test(.enabled(if: access("/usr/bin/python3", X_OK) == 0, "needs python3"))
  func python() throws {
    let script = """
      import json, re, sqlite3, threading, zlib
      def work():
          for i in range(300):
              json.loads(json.dumps({str(k): [k] * 10 for k in range(30)}))
              re.compile('a%d(b|c)*' % i).match('a1bcbcbc')
              zlib.compress(bytes(2000))
              sorted([str(k) for k in range(50)], key=lambda text: text[::-1])
      threads = [threading.Thread(target=work) for _ in range(3)]
      [thread.start() for thread in threads]
      [thread.join() for thread in threads]
      """
    expectSame(try compare(["/usr/bin/python3", "-c", script], period: 20), "python3")
  }

  // MARK: Compilers

  private func compile(_ compiler: String, _ options: [String], period: UInt32) throws -> StackComparison {
    let directory = try TemporaryDirectory()
    let source = try directory.write("source.cpp", "#include <map>\n#include <regex>\nstd::map<int, std::regex> all;\n")
    return try compare([compiler] + options + ["-c", source, "-o", directory.file("object")], period: period)
  }

  @Test func gccCompiling() throws {
    // The compiler proper is a child of the driver.
    expectSame(try compile("/usr/bin/g++", ["-O2"], period: 200), "gcc")
  }

  @Test(.enabled(if: findTool("clang++") != nil, "needs clang++"))
  func clangCompiling() throws {
    let clang = try #require(findTool("clang++"))
    expectSame(try compile(clang, ["-O2"], period: 300), "clang")
  }
}
