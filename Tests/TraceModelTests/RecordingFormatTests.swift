import FoundationEssentials
import Testing

@testable import TraceModel

/// Recordings hold these values as JSON: what was written once has to be readable for ever.
@Suite struct RecordingFormatTests {
  private func encoded(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
  }

  @Test func wordsInRecordings() throws {
    #expect(try encoded(StackTrace.Completeness.framePointersOnly) == "\"frame_pointers_only\"")
    #expect(try encoded(StackTrace.Completeness.callerOnly) == "\"caller_only\"")
    #expect(GrowthEvidence.Word.allCases.map(\.rawValue) == ["growing", "plateau", "startup", "unclear"])
    #expect(
      UnresolvedReason.allCases.map(\.rawValue) == [
        "unmapped", "generated code", "no symbol", "unreadable module", "process gone",
      ])
    #expect(
      Comparison.Verdict.allCases.map(\.rawValue) == [
        "new", "worse", "unchanged", "improved", "fixed", "unclear", "growing", "returns",
      ])
  }

  @Test func framesComeBack() throws {
    var frame = Frame(
      address: .max, function: "f(int)", functionOffset: 4, module: "/lib/a.so", moduleOffset: 0x1004,
      buildID: "ab12", file: "a.c", line: 3, isInlined: true)
    frame.linkageName = "_Z1fi"
    #expect(try JSONDecoder().decode(Frame.self, from: JSONEncoder().encode(frame)) == frame)
    let nameless = Frame(address: 7, unresolved: .generatedCode)
    #expect(try JSONDecoder().decode(Frame.self, from: JSONEncoder().encode(nameless)) == nameless)
  }

  /// Reports of runs that were too short have no evidence of growth, and blocks that were not checked no verdict.
  @Test func whatIsUnknownStaysUnknown() throws {
    let site = AllocationSite(
      processID: 1, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: 64, count: 1),
      allocated: Tally(bytes: 128, count: 2), freed: Tally(bytes: 64, count: 1),
      stack: StackTrace(addresses: [1, 2], completeness: .truncated), verdicts: [.unchecked: Tally(bytes: 64, count: 1)]
    )
    let copy = try JSONDecoder().decode(AllocationSite.self, from: JSONEncoder().encode(site))
    #expect(copy.growth == nil && copy.threadID == nil && copy.oldestAge == nil)
    #expect(copy.outstandingBytesStandardError == nil && copy.kernel == nil)
    #expect(copy.stack == site.stack && copy.verdicts == site.verdicts && copy.outstanding == site.outstanding)
  }
}
