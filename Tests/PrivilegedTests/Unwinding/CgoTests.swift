import Glibc
import TestTools
import Testing

extension Privileged {
  /// C code that Go calls on another stack than its own: Tests/Programs/unwind/go.
  @Suite(.enabled(if: access("/usr/bin/go", X_OK) == 0, "needs Go")) struct CgoTests {
    /// Stacks end where the stack was switched, whether or not the program has symbols and call-frame information for that.
    @Test(arguments: [[], ["-ldflags=-s -w"], ["-buildmode=pie", "-ldflags=-s -w"]])
    func stacksEndAtTheBorder(options: [String]) throws {
      let directory = try TemporaryDirectory()
      setenv("GOCACHE", directory.file("cache"), 1)
      setenv("GOFLAGS", "-buildvcs=false", 1)
      let program = directory.file("border")
      try run(
        ["sh", "-c", "cd \"$0\" && exec go build \"$@\"", Programs.sources + "unwind/go", "-o", program] + options)
      if options.contains(where: { $0.contains("-s") }) { try run(["strip", program]) }
      let report = try LeakTrace.report(of: [program])
      let stacks = report.sites.filter { $0.functions.contains("c_leak") || $0.outstanding == Blocks(21_000, 21) }
      #expect(stacks.map(\.outstanding) == [Blocks(21_000, 21)])
      for stack in stacks {
        #expect(stack.stackComplete)
        // malloc's caller, its caller, cgo's wrapper, and the place in Go's runtime that calls it.
        #expect(stack.frames.count == 4, "\(stack.functions)")
      }
    }
  }
}
