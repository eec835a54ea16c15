import TestTools
import Testing

/// A program of Tests/Programs/leaks and the truth about its cases.
struct LeakProgram: CustomTestStringConvertible {
  var source: String
  var cases: [LeakCase]
  /// Cases that need the process for themselves; the others run in one.
  var alone: [String] = []
  /// Those of them that end without coming to the last step.
  var ending: Set<String> = []
  var options: [String] = []
  /// Cases that LeakSanitizer does not survive, or that it does not see end.
  var notForSanitizer: Set<String> = []

  var testDescription: String { source }

  static let all = [
    LeakProgram(source: "pointers.c", cases: LeakTruth.pointers),
    // GCC 12's LeakSanitizer reads all of a block and crashes where it cannot be read.
    LeakProgram(source: "shapes.c", cases: LeakTruth.shapes, notForSanitizer: ["large_with_hole"]),
    LeakProgram(
      source: "roots.c", cases: LeakTruth.roots,
      alone: [
        "signal_main_stack", "signal_own_stack", "signal_register", "context_running", "red_zone", "register_at_end",
      ],
      ending: ["red_zone", "register_at_end"],
      // The holes lie in a mapping, which it does not look at; the others end by a system call of their own.
      notForSanitizer: ["mapping_hole", "red_zone", "register_at_end"]),
    LeakProgram(source: "modules.c", cases: LeakTruth.modules),
    LeakProgram(
      source: "heuristics.cpp", cases: LeakTruth.heuristics, options: ["-D_GLIBCXX_USE_CXX11_ABI=0"]),
    LeakProgram(source: "allocations.cpp", cases: LeakTruth.allocations),
    LeakProgram(
      source: "plain.cpp", cases: LeakTruth.plain, alone: LeakTruth.plain.map(\.name),
      ending: Set(LeakTruth.plain.map(\.name)),
      // It takes what is left over for pointers, and does not see _exit(2).
      notForSanitizer: ["deep", "list", "deque", "left_below"]),
  ]

  /// The compiled program and what it needs in its environment.
  func build(_ options: [String] = []) throws -> (path: String, environment: [String: String]) {
    var options = ["-fno-builtin"] + self.options + options
    var environment: [String: String] = [:]
    if source == "modules.c" {
      let library = try Programs.compile("leaks/library.c", ["-fno-builtin", "-shared", "-fPIC"], suffix: ".so")
      // Each copy is a library of its own to the loader.
      for name in ["OPENED", "CLOSED"] {
        environment[name] = "\(library).\(name)"
        try run(["/bin/cp", library, "\(library).\(name)"])
      }
      options.append(library)
    }
    return (try Programs.compile("leaks/\(source)", options), environment)
  }

  /// What each process is told to run so that every case runs once.
  func runs(leavingOut: Set<String> = []) -> [[String]] {
    let together = cases.count > alone.count ? [["all"] + leavingOut.sorted().map { "-\($0)" }] : []
    return together + alone.filter { !leavingOut.contains($0) }.map { [$0] }
  }
}
