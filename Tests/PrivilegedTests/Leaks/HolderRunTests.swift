import TestTools
import Testing

extension Privileged {
  /// Who holds reachable blocks that grow: Tests/Programs/leaks/holders.cpp.
  @Suite struct HolderRunTests {
    @Test func tracedFromItsStart() throws {
      let running = try LeakAttachment(running: [try program()], ["--top", "1000"], interval: "1h")
      try checkHolders(try running.interruptAndEnd(), count: 500)
    }

    /// Half of the blocks were there before, and lead to the others.
    @Test func attachedTo() throws {
      let running = try RunningProgram([try program(), "waits"])
      try #require(running.readLine(timeout: patience) == "ready")
      let attachment = try LeakAttachment(to: [running.processID], ["--top", "1000"])
      running.send("go\n")
      try #require(running.readLine(timeout: patience) == "ready")
      try checkHolders(try attachment.freshReport(), count: 500)
      _ = try attachment.interrupt()
    }

    private func checkHolders(_ report: LeakReport, count: UInt64) throws {
      let strings = try holder(of: "remember", in: report, container: true)
      #expect(strings.name == "sessions" && strings.kind == "global")
      #expect(strings.file?.hasSuffix("holders.cpp") == true && strings.line == 14)
      #expect(strings.through.last?.container == "std::map")
      #expect(strings.share > 0.9 && strings.count > count * 9 / 10)
      let values = try holder(of: "keep", in: report, container: false)
      #expect(values.name == "cache" && values.line == 15)
      #expect(values.through.last?.container == "std::unordered_map")
      // Nodes of a list hold each other; which of the two lists it is tells the caller's line.
      let lists = report.sites.filter { $0.frames.first?.function?.hasPrefix("push") == true }
      let holders = lists.compactMap(\.heldBy?.first)
      #expect(holders.allSatisfy { $0.through.last?.sameSite == true })
      #expect(Set(holders.map(\.kind)) == ["global", "stack"])
      #expect(holders.first { $0.kind == "global" }?.name == "head")
      #expect(holders.first { $0.kind == "stack" }?.name == "main")
    }

    /// The main holder of what the function allocates, itself or through the language's library.
    private func holder(of function: String, in report: LeakReport, container: Bool) throws -> LeakReport.Holder {
      let sites = report.sites.filter { site in
        let own = site.frames.first { $0.function?.hasPrefix(function + "(") == true }
        let isString = site.frames.contains { $0.function?.contains("basic_string") == true }
        return own != nil && (container ? isString : site.frames.first?.function?.hasPrefix(function) == true)
      }
      return try #require(sites.first?.heldBy?.first)
    }

    private func program() throws -> String { try Programs.compile("leaks/holders.cpp") }
  }
}
