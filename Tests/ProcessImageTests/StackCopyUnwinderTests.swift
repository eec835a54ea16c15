import CTraceABI
import Testing

@testable import ProcessImage

/// Hand-made stacks, walked by hand-made rules.
@Suite struct StackCopyUnwinderTests {
  private static let start: UInt64 = 0x7fff_0000
  private typealias Rules = [UInt64: UInt64]

  private struct Walk {
    var frames: [UInt64]
    var outcome: UInt32
    var status: UInt32 { outcome & 0xff }
    var reason: UInt32 { outcome >> 8 & 0xff }
  }

  /// Walks from the function at 0x1000 with rsp at the first word.
  private func walk(
    _ words: [UInt64], rbp: UInt64 = 0, origin: UInt64 = 0, rules: Rules, code: Range<UInt64> = 0x1000..<0x9000,
    bytes: @escaping (UInt64) -> UInt64? = { _ in nil }
  ) -> Walk {
    words.withUnsafeBytes { stack in
      var unwinder = StackCopyUnwinder(
        frames: [0x1000], flags: 0, lookup: 0x1000, stackPointer: Self.start, framePointer: rbp,
        origin: origin, copy: stack, copyStart: Self.start)
      let view = CodeView(
        isCode: code.contains, hasRow: { rules[$0 & ~0xfff].map { $0 != CFIRule.noRow } }, word: bytes)
      let outcome = unwinder.walk(view) { address in
        rules[address & ~0xfff].map { .rule($0) } ?? .nothing(LT_UNWIND_UNKNOWN_MAPPING)
      }
      return Walk(frames: unwinder.frames, outcome: outcome)
    }
  }

  private func rsp(_ offset: Int64, rbp: Int64 = 0) -> UInt64 {
    CFIRule.encode(LT_UNWIND_RULE_STACK_POINTER, cfaOffset: offset, framePointerOffset: rbp)
  }

  @Test func plainFrames() {
    // A frame of 16 bytes that saves rbp, one by rbp, the outermost.
    let words: [UInt64] = [1, Self.start + 48, 0x2010, 0, 0, 0, 77, 0x3010, 0]
    let rules: Rules = [
      0x1000: rsp(24, rbp: -16),
      0x2000: CFIRule.encode(LT_UNWIND_RULE_FRAME_POINTER, cfaOffset: 16, framePointerOffset: -16),
      0x3000: CFIRule.end,
    ]
    let found = walk(words, rules: rules)
    #expect(found.frames == [0x1000, 0x2010, 0x3010])
    #expect(found.outcome == LT_OUTCOME_COMPLETE.rawValue)
  }

  @Test func endOfStackAndNonsense() {
    // A return address of 0 ends a stack; others are no addresses.
    #expect(walk([0], rules: [0x1000: rsp(8)]).status == LT_OUTCOME_COMPLETE.rawValue)
    for address in [1, 0xfff, 1 << 47, UInt64.max] {
      #expect(walk([address], rules: [0x1000: rsp(8)]).reason == LT_UNWIND_INVALID_ADDRESS.rawValue)
    }
    // Frames grow, and lie in the copy.
    #expect(walk([0x2000], rules: [0x1000: rsp(0)]).reason == LT_UNWIND_INVALID_FRAME.rawValue)
    #expect(walk([0x2000], rules: [0x1000: rsp(12)]).reason == LT_UNWIND_INVALID_FRAME.rawValue)
    #expect(walk([0x2000], rules: [0x1000: rsp(16)]).reason == LT_UNWIND_UNREADABLE_STACK.rawValue)
    #expect(walk([0x2010], rules: [0x1000: rsp(8)]).reason == LT_UNWIND_UNKNOWN_MAPPING.rawValue)
    #expect(
      walk([0x2010], rules: [0x1000: CFIRule.unsupported]).reason == LT_UNWIND_UNSUPPORTED_RULE.rawValue)
  }

  @Test func depthIsLimited() {
    let found = walk([UInt64](repeating: 0x1010, count: 200), rules: [0x1000: rsp(8)])
    #expect(found.frames.count == Int(LT_MAX_STACK_DEPTH))
    #expect(found.status == LT_OUTCOME_TRUNCATED.rawValue)
  }

  @Test func specialRules() {
    // CFA = *(rsp + 8) + 8, then a linkage stub that has pushed one word, then a signal frame.
    var words: [UInt64] = [0, Self.start + 24, 0, 0x2003, 0, 0x3010]
    let signalFrame = words.count * 8
    words += [UInt64](repeating: 0, count: 40)
    words[(signalFrame + 120) / 8] = 55
    words[(signalFrame + 160) / 8] = Self.start + UInt64(signalFrame) + 200
    words[(signalFrame + 168) / 8] = 0x4000
    let rules: Rules = [
      0x1000: CFIRule.encode(LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, cfaOffset: 8, auxiliary: 8),
      0x2000: CFIRule.encode(LT_UNWIND_RULE_PLT, cfaOffset: 8, auxiliary: 2),
      0x3000: CFIRule.encode(LT_UNWIND_RULE_SIGNAL, cfaOffset: 0),
      0x4000: CFIRule.end,
    ]
    let found = walk(words, rules: rules)
    #expect(found.frames == [0x1000, 0x2003, 0x3010, 0x4000])
    #expect(found.outcome == LT_OUTCOME_COMPLETE.rawValue | UInt32(LT_UNWIND_FLAG_SIGNAL))
  }

  @Test func framePointerSteps() {
    let words: [UInt64] = [0, 0, Self.start + 32, 0x2010, 0, 0]
    let found = walk(words, rbp: Self.start + 16, rules: [0x1000: CFIRule.noRow, 0x2000: CFIRule.end])
    #expect(found.frames == [0x1000, 0x2010])
    #expect(found.outcome == LT_OUTCOME_COMPLETE.rawValue | UInt32(LT_UNWIND_FLAG_FRAME_POINTERS))
    for pointer in [0, Self.start - 8, Self.start + 4, Self.start + (1 << 20)] {
      #expect(walk(words, rbp: pointer, rules: [0x1000: CFIRule.noRow]).reason == LT_UNWIND_NO_ROW.rawValue)
    }
  }

  /// Entry points have no rows. A frame without one is the outermost if there can be no more than the entry point behind it.
  @Test func beginningOfTheStack() {
    let words: [UInt64] = [0, 0x2010, 0, 0]
    let rules: Rules = [0x1000: CFIRule.noRow]
    #expect(walk(words, origin: Self.start + 32, rules: rules).status == LT_OUTCOME_COMPLETE.rawValue)
    #expect(walk(words, origin: Self.start, rules: rules).status == LT_OUTCOME_COMPLETE.rawValue)
    let callers: [UInt64] = [0, 0x2010, 0x3010, 0]
    #expect(walk(callers, origin: Self.start + 32, rules: rules).reason == LT_UNWIND_NO_ROW.rawValue)
    #expect(walk(words, origin: Self.start + 2000, rules: rules).reason == LT_UNWIND_NO_ROW.rawValue)
    #expect(walk(words, origin: Self.start - 8, rules: rules).reason == LT_UNWIND_NO_ROW.rawValue)
  }
}
