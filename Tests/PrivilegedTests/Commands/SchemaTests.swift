import Glibc
import TestTools
import Testing

extension Privileged {
  /// Reports of real runs against the schema that is shipped.
  @Suite struct SchemaTests {
    @Test(.enabled(if: JSONSchema.isAvailable, "needs python3-jsonschema"))
    func reportsAreValid() throws {
      let options = try Programs.compile("options.c", ["-fno-builtin"])
      var runs: [[String]] = [
        ["-a", "--", options, "shown"],
        ["--threads", "--", try Programs.compile("named_threads.c")],
        ["--sample-bytes", "512", "--", options, "order"],
        ["-s", "2", "--combined-only", "--", options, "order"],
        ["-T", "1", "0.1", "--", "sleep", "0.3"],
        ["--", try Programs.compile("mappings.c", ["-fno-builtin"])],
        ["--", try Programs.compile("operators.cpp", ["-fno-builtin"])],
        ["--", try Programs.compile("processes.c", ["-fno-builtin"]), "exec_in_child"],
        ["--max-stacks", "16", "--", try Programs.compile("loads/limits.c", ["-fno-builtin"]), "stacks"],
        ["--perf-links", "--", try Programs.compile("code/jumps.c", ["-fno-builtin"])],
      ]
      let leaks = try Programs.compile("leaks/known.cpp", ["-fno-builtin"])
      for options in [["-a", "--hexdump", "--leak-kinds", "all", "--explain", "1"], ["--leak-kinds", "definite"]] {
        runs.append(["--leak-check"] + options + ["--", leaks, "all"])
      }
      var lines: [Substring] = []
      for arguments in runs {
        let outcome = try LeakTrace.trace(["--format", "json"] + arguments)
        let documents = outcome.output.split(separator: "\n").filter { $0.hasPrefix("{") }
        #expect(!documents.isEmpty)
        lines += documents
      }
      let kernelRuns: [[String]] = [
        ["-a", "--stacks", "all", "--pages", "--all", "-p", "1", "0.5", "2"], ["--where"],
        ["-s", "10", "--duration", "1"],
        ["--source", "vmalloc,slab", "--methods", "polling", "--duration", "1"],
        ["--combined-only", "--duration", "1"],
      ]
      for arguments in kernelRuns {
        let outcome = try LeakTrace.kernel(["--format", "json"] + arguments)
        #expect(outcome.status == 0)
        lines += outcome.output.split(separator: "\n")
      }
      try JSONSchema.validate(
        lines.map(String.init), schema: Programs.sources + "../../docs/schema/leaktrace.report-1.schema.json")
    }
  }
}
