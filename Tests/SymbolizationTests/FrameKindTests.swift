import CTraceABI
import ProcessImage
import Testing
import TraceModel

@testable import Symbolization

/// Words of stacks by their upper bits.
@Suite struct FrameKindTests {
  @Test func addressesAreFramesOfTheirKind() {
    #expect(FrameKind(ofWord: 0) == .native)
    #expect(FrameKind(ofWord: 0x5555_5555_4000) == .native)
    #expect(FrameKind(ofWord: 0x7fff_ffff_ffff) == .native)
    #expect(FrameKind(ofWord: 0xffff_8000_0000_0000) == .kernel)
    #expect(FrameKind(ofWord: 0xffff_ffff_8100_0000) == .kernel)
  }

  @Test func runtimesHaveKindsBetween() {
    let word = lt_frame(7, 0x7f00_1234_5678)
    #expect(FrameKind(ofWord: word) == .runtime(7))
    #expect(lt_frame_payload(word) == 0x7f00_1234_5678)
    #expect(lt_frame_kind_of(word) == 7)
    #expect(FrameKind(ofWord: lt_frame(0x1_0000, 1)) == .unknown)
    // A payload that is too large does not reach the kind.
    #expect(FrameKind(ofWord: lt_frame(7, .max)) == .runtime(7))
  }

  private struct Interpreter: FrameSource {
    func append(_ frame: FrameRequest, to frames: inout [Frame]) -> Bool {
      frames.append(Frame(address: frame.address, function: "line \(frame.address)"))
      return false
    }
  }

  /// Each word goes to the source of its kind; one that nobody reads is neither dropped nor looked up as an address.
  @Test func wordsAreNamedByTheirKinds() {
    let symbolizer = Symbolizer(options: SymbolizerOptions(), runtimeSources: [7: Interpreter()])
    symbolizer.record(processID: 1, generation: 1, snapshot: AddressSpaceSnapshot(mappings: []))
    let words = [0x1000, lt_frame(7, 42), lt_frame(9, 0x1000), 0xffff_ffff_8100_0000]
    let frames = symbolizer.frames(
      for: StackTrace(addresses: words, completeness: .complete), processID: 1, generation: 1, leafIsExact: true)
    #expect(frames.map(\.function) == [nil, "line 42", nil, nil])
    #expect(frames.map(\.address) == [0x1000, 42, words[2], words[3]])
    #expect(frames.map(\.unresolved) == [.unmapped, nil, .unmapped, .unmapped])
  }
}
