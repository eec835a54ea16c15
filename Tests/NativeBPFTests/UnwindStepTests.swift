import CNativeBPF
import CTraceABI
import ProcessImage
import TestTools
import Testing

/// A stack of four pages whose words are known, and code of 256 bytes.
private final class SyntheticStack {
  static let start: UInt64 = 0x7ffd_0000_0000
  static let code: UInt64 = 0x5555_0000_0000
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 16384, alignment: 4096)

  init() {
    native_unwind_begin()
    for index in 0..<bytes.count / 8 { self[index] = 0x5000_0000_0000 + UInt64(index) * 0x100 }
    native_set_memory(Self.start, bytes.baseAddress!, bytes.count)
  }

  deinit { bytes.deallocate() }

  /// The word this many words above the stack's start.
  subscript(index: Int) -> UInt64 {
    get { bytes.load(fromByteOffset: index * 8, as: UInt64.self) }
    set { bytes.storeBytes(of: newValue, toByteOffset: index * 8, as: UInt64.self) }
  }

  static func place(_ index: Int) -> UInt64 { start + UInt64(index) * 8 }
}

private func rule(
  _ kind: lt_unwind_rule_kind, offset: Int64, framePointer: Int16 = 0, auxiliary: UInt64 = 0
) -> UInt64 {
  UInt64(bitPattern: offset) << 32 | UInt64(UInt16(bitPattern: framePointer)) << 16 | auxiliary << 8
    | UInt64(kind.rawValue)
}

private func plain(words: UInt16, fromFramePointer: Bool = false, slot: UInt16 = 0) -> UInt16 {
  UInt16(LT_UNWIND_CODE_PLAIN) | (fromFramePointer ? UInt16(LT_UNWIND_CODE_FRAME_POINTER) : 0)
    | slot << UInt16(LT_UNWIND_CODE_SLOT_SHIFT) | words
}

private func outcomeOfEnd(_ reason: lt_unwind_counter) -> UInt32 {
  LT_OUTCOME_BROKEN.rawValue | reason.rawValue << 8
}

extension NativeBPFTests {
  /// One step of the walker: which registers the caller has.
  @Suite struct UnwindSteps {
    private let stack = SyntheticStack()
    private let first = UInt16(LT_UNWIND_FIRST_FREE_RULE_ID.rawValue)
    private var sp: UInt64 { SyntheticStack.place(10) }
    private var fp: UInt64 { SyntheticStack.place(40) }

    private func step(_ code: UInt16, lookup: UInt64 = SyntheticStack.code, fp: UInt64? = nil) -> native_step {
      native_unwind_step(code, lookup, sp, fp ?? self.fp)
    }

    private func step(_ rule: UInt64, lookup: UInt64 = SyntheticStack.code, fp: UInt64? = nil) -> native_step {
      native_unwind_set_rule(first, rule)
      return step(first, lookup: lookup, fp: fp)
    }

    private func expect(
      _ step: native_step, returnAddressAt place: Int, framePointer: UInt64,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      #expect(step.goes_on, sourceLocation: sourceLocation)
      #expect(step.outcome == 0, sourceLocation: sourceLocation)
      #expect(step.depth == 2, sourceLocation: sourceLocation)
      #expect(step.lookup == stack[place] - 1, sourceLocation: sourceLocation)
      #expect(step.sp == SyntheticStack.place(place + 1), sourceLocation: sourceLocation)
      #expect(step.fp == framePointer, sourceLocation: sourceLocation)
    }

    @Test func fromTheStackPointer() {
      expect(step(plain(words: 0)), returnAddressAt: 10, framePointer: fp)
      expect(step(plain(words: 7)), returnAddressAt: 17, framePointer: fp)
      expect(step(plain(words: 7, slot: 2)), returnAddressAt: 17, framePointer: stack[15])
      expect(step(rule(LT_UNWIND_RULE_STACK_POINTER, offset: 800)), returnAddressAt: 109, framePointer: fp)
      expect(
        step(rule(LT_UNWIND_RULE_STACK_POINTER, offset: 80, framePointer: -72)), returnAddressAt: 19,
        framePointer: stack[11])
    }

    @Test func fromTheFramePointer() {
      expect(step(plain(words: 1, fromFramePointer: true, slot: 1)), returnAddressAt: 41, framePointer: stack[40])
      expect(step(plain(words: 3, fromFramePointer: true)), returnAddressAt: 43, framePointer: fp)
      expect(
        step(rule(LT_UNWIND_RULE_FRAME_POINTER, offset: 16, framePointer: -16)), returnAddressAt: 41,
        framePointer: stack[40])
    }

    @Test func throughAWordOfTheStack() {
      stack[12] = SyntheticStack.place(20)
      expect(
        step(rule(LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, offset: 16, auxiliary: 8)), returnAddressAt: 20,
        framePointer: fp)
      stack[39] = SyntheticStack.place(60)
      expect(
        step(rule(LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED, offset: -8, framePointer: -24)), returnAddressAt: 59,
        framePointer: stack[57])
      let relative = 16 | UInt64(LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE)
      expect(
        step(rule(LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED, offset: -8, framePointer: 0, auxiliary: relative)),
        returnAddressAt: 61, framePointer: stack[40])
    }

    @Test func inALinkageTable() {
      let table = rule(LT_UNWIND_RULE_PLT, offset: 8, auxiliary: 11)
      expect(step(table, lookup: SyntheticStack.code + 10), returnAddressAt: 10, framePointer: fp)
      expect(step(table, lookup: SyntheticStack.code + 11), returnAddressAt: 11, framePointer: fp)
    }

    /// 120 bytes into the frame: frame pointer, four others, stack pointer, program counter.
    @Test func outOfASignalHandler() {
      let saved = 10 + 2 + 15
      stack[saved] = 0x1234
      stack[saved + 5] = SyntheticStack.place(200)
      stack[saved + 6] = 0x5555_0000_0042
      let step = step(rule(LT_UNWIND_RULE_SIGNAL, offset: 16))
      #expect(step.goes_on)
      #expect(step.lookup == 0x5555_0000_0042)
      #expect(step.sp == SyntheticStack.place(200))
      #expect(step.fp == 0x1234)
      #expect(step.outcome == UInt32(LT_UNWIND_FLAG_SIGNAL))
    }

    @Test func withoutARowAlongTheFramePointer() {
      stack[40] = SyntheticStack.place(90)
      // call *%rax, in front of the word that is the return address.
      let call = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
      call.pointee = 0xd0ff_0000_0000_0000
      native_set_code(stack[41] - 8, call, 8)
      defer {
        native_set_code(0, nil, 0)
        call.deallocate()
      }
      let step = step(UInt16(LT_UNWIND_RULE_ID_NO_ROW.rawValue))
      #expect(step.goes_on)
      #expect(step.lookup == stack[41] - 1)
      #expect(step.sp == SyntheticStack.place(42))
      #expect(step.fp == SyntheticStack.place(90))
      #expect(step.outcome == UInt32(LT_UNWIND_FLAG_FRAME_POINTERS))
      #expect(native_unwind_counter(LT_UNWIND_FRAME_POINTER_STEP) == 1)
      // Below the stack pointer, or too far above it, is no frame.
      let noRow = UInt16(LT_UNWIND_RULE_ID_NO_ROW.rawValue)
      #expect(self.step(noRow, fp: sp - 8).outcome == outcomeOfEnd(LT_UNWIND_NO_ROW))
      #expect(self.step(noRow, fp: sp + 4).outcome == outcomeOfEnd(LT_UNWIND_NO_ROW))
      #expect(self.step(noRow, fp: sp + 1 << 20).outcome == outcomeOfEnd(LT_UNWIND_NO_ROW))
    }

    /// A function without a row that saves the frame pointer, uses its register for something else and calls another. Its
    /// return address lies where its beginning says; what earlier calls left behind lies elsewhere, or leads elsewhere.
    @Test func withoutARowOrAFrameRecord() {
      let code = SyntheticStack.code
      var bytes = [UInt8](repeating: 0x90, count: 256)
      func place(_ instruction: [UInt8], at offset: Int) {
        bytes.replaceSubrange(offset..<offset + instruction.count, with: instruction)
      }
      func call(_ target: Int, at offset: Int) {
        place([0xe8] + withUnsafeBytes(of: Int32(target - offset - 5).littleEndian) { Array($0) }, at: offset)
      }
      // push %rbp; push %rbx; mov %rdi, %rbx; sub $0x18, %rsp; mov $3, %ebp; then a call, from which it is looked up.
      place([0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x18, 0xbd, 3, 0, 0, 0], at: 0x40)
      call(0x00, at: 0x60)
      call(0x40, at: 0x80)
      call(0x20, at: 0x90)
      place([0xff, 0xd0], at: 0xa0)
      let rows =
        [native_row(offset: 0, code: UInt16(LT_UNWIND_RULE_ID_END.rawValue))]
        + [native_row(offset: 0x40, code: UInt16(LT_UNWIND_RULE_ID_NO_ROW.rawValue))]
        + [native_row(offset: 0x70, code: UInt16(LT_UNWIND_RULE_ID_END.rawValue))]
      bytes.withUnsafeBytes { memory in
        native_unwind_publish(code, rows, rows.count)
        native_set_code(code, memory.baseAddress, memory.count)
        defer { native_set_code(0, nil, 0) }
        func walk() -> (depth: UInt32, second: UInt64, outcome: UInt32) {
          var found = lt_stack()
          native_unwind_walk(code + 0x65, sp, 3, true, &found)
          return (found.depth, found.frames.1, found.outcome)
        }
        // Calls of it, and of others, in the wrong places; a call through a register in the right one.
        stack[12] = code + 0x85
        stack[13] = code + 0x95
        stack[15] = code + 0xa2
        #expect(walk() == (1, 0, outcomeOfEnd(LT_UNWIND_NO_ROW)))
        stack[15] = code + 0x85
        #expect(walk() == (2, code + 0x85, UInt32(LT_UNWIND_FLAG_FRAME_POINTERS)))
        // A word that no call is in front of is no frame record.
        stack[40] = SyntheticStack.place(90)
        stack[41] = code + 0x99
        stack[15] = 0
        var found = lt_stack()
        native_unwind_walk(code + 0x65, sp, fp, true, &found)
        #expect(found.depth == 1)
        #expect(found.outcome == outcomeOfEnd(LT_UNWIND_NO_ROW))
      }
    }

    @Test func endsForTheReasonThatItHas() {
      func ends(_ step: native_step, _ outcome: UInt32, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(!step.goes_on, sourceLocation: sourceLocation)
        #expect(step.outcome == outcome, sourceLocation: sourceLocation)
        #expect(step.depth == 1, sourceLocation: sourceLocation)
      }
      ends(step(UInt16(LT_UNWIND_RULE_ID_END.rawValue)), LT_OUTCOME_COMPLETE.rawValue)
      ends(step(UInt16(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue)), outcomeOfEnd(LT_UNWIND_UNSUPPORTED_RULE))
      ends(step(rule(LT_UNWIND_RULE_STACK_POINTER, offset: 0)), outcomeOfEnd(LT_UNWIND_INVALID_FRAME))
      ends(step(rule(LT_UNWIND_RULE_STACK_POINTER, offset: 12)), outcomeOfEnd(LT_UNWIND_INVALID_FRAME))
      ends(step(plain(words: 1, fromFramePointer: true), fp: sp - 64), outcomeOfEnd(LT_UNWIND_INVALID_FRAME))
      ends(step(plain(words: 2047)), outcomeOfEnd(LT_UNWIND_UNREADABLE_STACK))
      stack[10] = 0
      ends(step(plain(words: 0)), LT_OUTCOME_COMPLETE.rawValue)
      stack[10] = 1 << 47
      ends(step(plain(words: 0)), outcomeOfEnd(LT_UNWIND_INVALID_ADDRESS))
      stack[10] = 4095
      ends(step(plain(words: 0)), outcomeOfEnd(LT_UNWIND_INVALID_ADDRESS))
    }
  }

  @Suite struct UnwindWalks {
    private let stack = SyntheticStack()

    private func walk(_ pc: UInt64, sp: UInt64, fp: UInt64, isReturn: Bool = false) -> (
      frames: [UInt64], outcome: UInt32
    ) {
      var found = lt_stack()
      native_unwind_walk(pc, sp, fp, isReturn, &found)
      let frames = withUnsafeBytes(of: found.frames) {
        [UInt64]($0.bindMemory(to: UInt64.self).prefix(Int(found.depth)))
      }
      return (frames, found.outcome)
    }

    @Test func threeFramesToTheOutermost() {
      let code = SyntheticStack.code
      let rows = [
        native_row(offset: 0, code: plain(words: 0)), native_row(offset: 0x10, code: plain(words: 1, slot: 1)),
        native_row(offset: 0x20, code: plain(words: 1, fromFramePointer: true, slot: 1)),
        native_row(offset: 0x80, code: UInt16(LT_UNWIND_RULE_ID_END.rawValue)),
      ]
      native_unwind_publish(code, rows, rows.count)
      stack[10] = SyntheticStack.place(30)
      stack[11] = code + 0x25
      stack[30] = 0
      stack[31] = code + 0x85
      for round in 0..<2 {
        let walked = walk(code + 0x11, sp: SyntheticStack.place(10), fp: 0)
        #expect(walked.frames == [code + 0x11, code + 0x25, code + 0x85])
        #expect(walked.outcome == LT_OUTCOME_COMPLETE.rawValue)
        // The second finds all three rules in the cache.
        #expect(native_unwind_counter(LT_UNWIND_CACHE_MISS) == 3, "round \(round)")
      }
    }

    @Test func aReturnAddressBelongsToTheCallBeforeIt() {
      let code = SyntheticStack.code
      let rows = [
        native_row(offset: 0, code: UInt16(LT_UNWIND_RULE_ID_END.rawValue)),
        native_row(offset: 0x40, code: plain(words: 0)),
      ]
      native_unwind_publish(code, rows, rows.count)
      stack[10] = code + 0x20
      let (sp, end) = (SyntheticStack.place(10), LT_OUTCOME_COMPLETE.rawValue)
      #expect(walk(code + 0x40, sp: sp, fp: 0) == ([code + 0x40, code + 0x20], end))
      #expect(walk(code + 0x40, sp: sp, fp: 0, isReturn: true) == ([code + 0x40], end))
    }

    @Test func endlessRecursionIsCutAtTheDeepestStack() {
      let code = SyntheticStack.code
      let rows = [native_row(offset: 0, code: plain(words: 0))]
      native_unwind_publish(code, rows, rows.count)
      for index in 0..<1000 { stack[index] = code + 0x10 }
      let walked = walk(code, sp: SyntheticStack.place(0), fp: 0)
      #expect(walked.frames.count == Int(LT_MAX_STACK_DEPTH))
      #expect(walked.outcome == LT_OUTCOME_TRUNCATED.rawValue)
    }

    /// Functions of 32 bytes: each saves some registers and ends with three calls of others.
    private func randomCode(_ random: inout SplitMix64) -> UnsafeRawBufferPointer {
      var bytes = [UInt8](repeating: 0x90, count: 256)
      for block in 0..<8 {
        var offset = block * 32
        for _ in 0..<Int.random(in: 0...3, using: &random) {
          bytes[offset] = Bool.random(using: &random) ? 0x55 : 0x53
          offset += 1
        }
        for call in 0..<3 {
          let place = block * 32 + 32 - 5 * (call + 1)
          let target = Int.random(in: 0..<8, using: &random) * 32
          bytes[place] = 0xe8
          withUnsafeBytes(of: Int32(target - place - 5).littleEndian) {
            bytes.replaceSubrange(place + 1..<place + 5, with: $0)
          }
        }
      }
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      copy.copyBytes(from: bytes)
      return UnsafeRawBufferPointer(copy)
    }

    /// Random rules and random stacks: user space, which completes copied stacks, must walk them as the programs do.
    @Test func walksAsUserSpaceDoes() {
      var random = SplitMix64(state: 7)
      let code = SyntheticStack.code
      var complete = 0
      var long = 0
      for _ in 0..<3000 {
        native_unwind_begin()
        native_set_memory(SyntheticStack.start, stack.bytes.baseAddress!, stack.bytes.count)
        var rules: [UInt8: UInt64] = [:]
        var rows: [native_row] = []
        for block in 0..<8 {
          let offset = UInt8(block * 32)
          let isPlain = Int.random(in: 0..<6, using: &random) > 0
          let row: UInt16
          if isPlain {
            row = plain(
              words: UInt16.random(in: 0...12, using: &random),
              fromFramePointer: Int.random(in: 0..<4, using: &random) == 0,
              slot: UInt16.random(in: 0...3, using: &random))
            rules[offset] = CFIRule.rule(plainCode: row)
          } else {
            let choices = [
              CFIRule.end, CFIRule.unsupported, CFIRule.noRow,
              rule(LT_UNWIND_RULE_PLT, offset: 8, auxiliary: UInt64.random(in: 0...15, using: &random)),
              rule(
                LT_UNWIND_RULE_STACK_POINTER, offset: 8 * Int64.random(in: 0...40, using: &random), framePointer: -16),
              rule(LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, offset: 8 * Int64.random(in: 0...4, using: &random)),
              rule(LT_UNWIND_RULE_SIGNAL, offset: 0),
            ]
            let chosen = Int.random(in: 0..<choices.count, using: &random)
            rules[offset] = choices[chosen]
            // As in real tables, code without a row is known by one identifier.
            let isNoRow = choices[chosen] == CFIRule.noRow
            row =
              isNoRow
              ? UInt16(LT_UNWIND_RULE_ID_NO_ROW.rawValue)
              : UInt16(LT_UNWIND_FIRST_FREE_RULE_ID.rawValue) + UInt16(block)
            native_unwind_set_rule(row, choices[chosen])
          }
          rows.append(native_row(offset: offset, code: row))
        }
        native_unwind_publish(code, rows, rows.count)
        let bytes = randomCode(&random)
        native_set_code(code, bytes.baseAddress, bytes.count)
        defer { bytes.deallocate() }
        for index in 0..<stack.bytes.count / 8 {
          stack[index] =
            switch Int.random(in: 0..<100, using: &random) {
            case 0: 0
            case 1: UInt64.random(in: 0...UInt64.max >> 2, using: &random)
            case 12..<50:
              code + UInt64.random(in: 0..<8, using: &random) * 32 + 32 - 5 * UInt64.random(in: 0..<3, using: &random)
            case 2..<12: SyntheticStack.place(min(2047, index + Int.random(in: 0..<40, using: &random)))
            default: code + UInt64.random(in: 1...255, using: &random)
            }
        }
        let (sp, fp) = (SyntheticStack.place(Int.random(in: 0..<100, using: &random)), SyntheticStack.place(120))
        let walked = walk(code + 0x11, sp: sp, fp: fp)
        var unwinder = StackCopyUnwinder(
          frames: [code + 0x11], flags: 0, lookup: code + 0x11, stackPointer: sp, framePointer: fp, origin: 0,
          copy: UnsafeRawBufferPointer(stack.bytes), copyStart: SyntheticStack.start)
        let rule: (UInt64) -> UInt64? = { $0 &- code < 256 ? rules[UInt8($0 - code) & 0xe0] : nil }
        let view = CodeView(
          isCode: { $0 &- code < 256 }, hasRow: { rule($0).map { $0 != CFIRule.noRow } },
          word: {
            $0 &- code <= UInt64(bytes.count - 8)
              ? bytes.loadUnaligned(fromByteOffset: Int($0 - code), as: UInt64.self) : nil
          })
        let outcome = unwinder.walk(view) { address in
          rule(address).map { .rule($0) } ?? .nothing(LT_UNWIND_UNKNOWN_MAPPING)
        }
        native_set_code(0, nil, 0)
        // The programs could read code as if it were a stack; a copy of the stack does not have it.
        if unwinder.stackPointers.contains(where: { $0 &- code < 4096 }) { continue }
        #expect(walked.frames == unwinder.frames)
        #expect(walked.outcome == outcome)
        complete += outcome & 0xff == LT_OUTCOME_COMPLETE.rawValue ? 1 : 0
        long += unwinder.frames.count > 8 ? 1 : 0
      }
      // That it was worth it.
      #expect(complete > 100)
      #expect(long > 200)
    }
  }
}
