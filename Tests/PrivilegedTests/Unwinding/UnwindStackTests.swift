import CTraceABI
import Glibc
import TestTools
import Testing
import UnwindHarness

/// Stacks that the walker finds, against those that libdwfl finds in a copy of the stack.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct UnwindStackTests {
  static let everySample = lt_probe_configuration(
    walks: 1, kernel_walks: 0, sample_period: 1, stops: 0)

  private func start(
    _ source: String, options: [String] = [], _ directory: TemporaryDirectory
  ) throws -> UnwindProgram {
    let path = try UnwindProgram.build(source, options: options, in: directory)
    let harness = try UnwindHarness(configuration: Self.everySample)
    try harness.attach(path: path, function: "checkpoint")
    return try UnwindProgram(path: path, harness: harness)
  }

  private func expectEqual(_ stacks: [ObservedStack], count: Int, _ comment: Comment) {
    #expect(stacks.count == count, comment)
    for stack in stacks {
      #expect(stack.frames == stack.expected, "\(comment): \(stack.names)")
      #expect(stack.isComplete && stack.expectedIsComplete, "\(comment): \(stack.names)")
    }
  }

  private func repeated(_ name: String, _ count: Int) -> [String] {
    Array(repeating: name, count: count)
  }

  @Test(arguments: [
    [], ["-fcf-protection=full"], ["-static"], ["-no-pie"], ["-O0"],
    ["-fno-omit-frame-pointer"], ["-Os", "-mavx"],
    // Call-frame information in .debug_frame only, plain and packed.
    ["-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"],
    ["-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-gz=zlib"],
  ])
  func framesOfAllShapes(options: [String]) throws {
    let directory = try TemporaryDirectory()
    let program = try start("frames.c", options: options, directory)
    func names(_ stack: ObservedStack?) -> [String] {
      // What precedes and follows our own functions differs between C libraries and kinds of linking.
      var names = stack?.names ?? []
      if let main = names.firstIndex(of: "main") { names.removeSubrange((main + 1)...) }
      return names.filter { $0 != "run_phases" && $0 != "main" }
    }
    var stacks = try program.observePhase()
    expectEqual(stacks, count: 1, "recursion")
    #expect(names(stacks.first) == ["checkpoint"] + repeated("recurse", 4) + ["shallow_recursion"])

    stacks = try program.observePhase()
    expectEqual(stacks, count: 1, "deep recursion")
    #expect(names(stacks.first) == ["checkpoint"] + repeated("recurse", 101) + ["deep_recursion"])

    stacks = try program.observePhase()
    #expect(stacks.count == 1)
    #expect(stacks.first?.status == LT_OUTCOME_TRUNCATED.rawValue)
    #expect(names(stacks.first) == ["checkpoint"] + repeated("recurse", 126))
    #expect(stacks.first?.frames == stacks.first?.expected)

    // The copy of the stack is too small for the authority here: the functions are known.
    stacks = try program.observePhase()
    #expect(stacks.count == 1)
    #expect(stacks.first?.isComplete == true)
    #expect(
      names(stacks.first)
        == ["checkpoint"] + repeated("recurse", 2) + repeated("large_frame", 5) + ["large_frames"])

    stacks = try program.observePhase()
    #expect(stacks.first?.isComplete == true)
    #expect(
      names(stacks.first)
        == ["checkpoint"] + repeated("recurse", 2) + repeated("variable_frame", 6)
        + ["variable_frames"])

    stacks = try program.observePhase()
    expectEqual(stacks, count: 1, "realigned frame")
    #expect(
      names(stacks.first)
        == ["checkpoint"] + repeated("recurse", 2) + ["realigned_frame", "realigned_frames"])

    stacks = try program.observePhase()
    expectEqual(stacks, count: 1, "thread")
    #expect(
      Array(stacks.first?.names.prefix(8) ?? [])
        == ["checkpoint"] + repeated("recurse", 6) + ["thread_main"])

    for kind in ["signal", "signal on another stack"] {
      stacks = try program.observePhase()
      #expect(stacks.count == 1 && stacks.first?.isComplete == true)
      if kind == "signal" { expectEqual(stacks, count: 1, "signal") }
      #expect(stacks.first.map { $0.outcome & UInt32(LT_UNWIND_FLAG_SIGNAL) } != 0)
      let names = names(stacks.first)
      #expect(Array(names.prefix(5)) == ["checkpoint"] + repeated("recurse", 3) + ["handler"])
      #expect(names.last == (kind == "signal" ? "raise_signal" : "raise_on_other_stack"))
    }

    stacks = try program.observePhase()
    expectEqual(stacks, count: 1, "interrupted first instruction")
    let entry = try #require(try program.address(of: "interrupted_at_entry"))
    #expect(stacks.first?.frames.contains(entry) == true)
    #expect(names(stacks.first).last == "interrupt")
  }

  @Test func exceptions() throws {
    let directory = try TemporaryDirectory()
    let program = try start("exceptions.cpp", directory)
    // The thrown object, four frames' destructors, the handler, after it.
    expectEqual(try program.observePhase(), count: 7, "caught")
    expectEqual(try program.observePhase(), count: 6, "rethrown")
  }
}
