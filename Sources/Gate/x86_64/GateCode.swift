import Allocators
import CTraceABI
import ProcessImage

/// The code of a gate. Calls come to it by a jump that stands behind the first instruction of an allocator function, and go on
/// from it to the function's own instructions.
///
/// At the places of probes the program finds in rdi the size, in rsi the address of the block, in rdx the old block of a
/// reallocation, in rcx what was chosen (``chosenOld``, ``chosenNew``) or that there was no place for it; before a reallocation and before a free it finds the
/// arguments where the function takes them.
///
/// Before the function's own code runs, only rax, r10 and r11 are changed: by the calling convention nobody expects anything
/// of them. The code holds no lock and waits for nothing; it may be left at any instruction for good.
struct GateCode {
  fileprivate static let chosenOld = UInt8(LT_GATE_CHOSEN_OLD)
  fileprivate static let chosenNew = UInt8(LT_GATE_CHOSEN_NEW)
  fileprivate static let refused = UInt8(LT_GATE_REFUSED)

  private(set) var places: [GatePlace] = []
  /// Where the jump of each function leads to, by offset.
  private(set) var entries: [Int] = []
  let bytes: [UInt8]
  /// What the code has on the stack, place by place.
  let depths: [CodeAssembler.Depth]

  /// nil when there are more functions than there is room for.
  init?(layout: GateLayout, selection: GateSelection, functions: [GateFunction]) {
    var builder = GateCodeBuilder(layout: layout, selection: selection)
    for function in functions { builder.add(function) }
    builder.addHelpers()
    builder.code.finish()
    guard builder.code.bytes.count <= Int(GateLayout.codeBytes - GateLayout.headerBytes) else { return nil }
    places = builder.places
    entries = builder.entries
    bytes = builder.code.bytes
    depths = builder.code.depths
  }
}

struct GateCodeBuilder {
  var code: CodeAssembler
  let layout: GateLayout
  let selection: GateSelection
  let draw: CodeAssembler.Label
  let insert: CodeAssembler.Label
  let remove: CodeAssembler.Label
  var places: [GatePlace] = []
  var entries: [Int] = []

  init(layout: GateLayout, selection: GateSelection) {
    self.layout = layout
    self.selection = selection
    code = CodeAssembler(address: layout.code)
    draw = code.makeLabel()
    insert = code.makeLabel()
    remove = code.makeLabel()
  }

  // MARK: One function

  mutating func add(_ function: GateFunction) {
    while code.offset % 16 != 0 { code.emit(0xcc) }
    entries.append(code.offset)
    let original = code.makeLabel()
    // As at the function's entry.
    code.depth = function.entry.pushed == nil ? 0 : 8
    if let pushed = function.entry.pushed { code.pop(pushed) }
    switch function.function.kind {
    case .free(let pointer): addFree(function, Self.argument(pointer), original)
    case .allocate(let size): addAllocation(function, .register(Self.argument(size)), out: nil, original)
    case .allocateCounted(let count, let size):
      addAllocation(function, .product(Self.argument(count), Self.argument(size)), out: nil, original)
    case .allocateToPointer(let out, let size):
      addAllocation(function, .register(Self.argument(size)), out: Self.argument(out), original)
    case .reallocate(let pointer, let size):
      addReallocation(function, Self.argument(pointer), .register(Self.argument(size)), original)
    case .reallocateCounted(let pointer, let count, let size):
      let size = Size.product(Self.argument(count), Self.argument(size))
      addReallocation(function, Self.argument(pointer), size, original)
    case .map, .remap, .unmap, .programBreak, .createThread: break
    }
  }

  private static func argument(_ index: Int) -> ArgumentRegister { ArgumentRegister.abi[index] }

  /// What a call asks for.
  private enum Size {
    case register(ArgumentRegister)
    case product(ArgumentRegister, ArgumentRegister)
  }

  /// Has the size in a register. A product that overflows makes the call fail, which is the function's own affair.
  private mutating func load(_ size: Size, ifTooLarge original: CodeAssembler.Label) -> ArgumentRegister {
    switch size {
    case .register(let register): return register
    case .product(let first, let second):
      code.move(.r11, first)
      code.multiply(.r11, second)
      code.jump(if: .overflow, original)
      return .r11
    }
  }

  /// The function's own first instructions, and the way back behind them.
  private mutating func addOriginal(_ function: GateFunction, _ label: CodeAssembler.Label) {
    code.place(label)
    code.depth = 0
    for piece in function.entry.pieces {
      switch piece {
      case .anywhere(let bytes):
        code.emit(bytes)
        code.depth += Self.pushedBytes(bytes)
      case .relative(var bytes, let offset, let target):
        let next = layout.code &+ UInt64(code.offset + bytes.count)
        let distance = UInt32(truncatingIfNeeded: target &- next)
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: distance >> UInt32(8 * index)) }
        code.emit(bytes)
      case .jump(let target): code.jump(to: target)
      case .conditionalJump(let condition, let target): code.jump(ifCondition: condition, to: target)
      }
    }
    if !function.entry.endsInJump { code.jump(to: function.address &+ UInt64(function.entry.length)) }
  }

  /// What a moved instruction puts onto the stack: a push, or a subtraction from the stack pointer.
  private static func pushedBytes(_ bytes: [UInt8]) -> Int {
    switch bytes.count {
    case 1 where bytes[0] & 0xf8 == 0x50: 8
    case 2 where bytes[0] == 0x41 && bytes[1] & 0xf8 == 0x50: 8
    case 4 where bytes.starts(with: [0x48, 0x83, 0xec]): Int(bytes[3])
    default: 0
    }
  }

  private mutating func probe(_ role: GatePlace.Role, _ function: GateFunction) {
    places.append(GatePlace(role: role, probe: function.probe, offset: UInt64(code.offset)))
    code.probePlace()
  }

  // MARK: free

  private mutating func addFree(
    _ function: GateFunction, _ pointer: ArgumentRegister, _ original: CodeAssembler.Label
  ) {
    if selection.isPartial {
      lookUp(pointer)
      code.jump(if: .equal, original)
      code.move(.r11, pointer)
      code.call(remove)
    } else {
      code.test(pointer)
    }
    code.jump(if: .equal, original)
    probe(.freed, function)
    addOriginal(function, original)
  }

  /// Sets the zero flag if a block is none of the chosen; it may be one otherwise. Changes rax and r10.
  private mutating func lookUp(_ pointer: ArgumentRegister) {
    hash(pointer)
    code.loadAddress(.r10, .absolute(layout.filter))
    code.compareByte(.indexed(.r10, .rax), with: 0)
  }

  /// The index of a block in the filter, in rax. Neighbours have neighbouring ones; whole pages differ by what is above.
  mutating func hash(_ pointer: ArgumentRegister) {
    code.move(.rax, pointer)
    code.shiftRight(.rax, 4)
    code.move(.r10, pointer)
    code.shiftRight(.r10, 17)
    code.exclusiveOr(.rax, .r10)
    code.keepLow16(.rax)
  }

  // MARK: malloc and its like

  private mutating func addAllocation(
    _ function: GateFunction, _ size: Size, out: ArgumentRegister?, _ original: CodeAssembler.Label
  ) {
    let register = load(size, ifTooLarge: original)
    if selection.isPartial {
      let chosen = code.makeLabel()
      choose(register, chosen: chosen)
      if function.mayNest {
        passMarked(original)
      } else {
        addOriginal(function, original)
      }
      code.place(chosen)
      code.depth = 0
    }
    // The stack is a multiple of 16 below a call. Where every call is recorded, those that may call another function of the
    // gate are noted at their beginning: stacks do not always tell, as where the allocator's library says nothing of its
    // frames.
    let isNoted = function.mayNest && !selection.isPartial
    if let out { code.push(out) }
    code.push(register)
    if out != nil || isNoted { code.subtract(.rsp, out == nil ? 16 : 8) }
    if isNoted { probe(.entered, function) }  // LT_GATE_RETURN_DISTANCE: three words
    code.call(original)
    if out != nil || isNoted { code.add(.rsp, out == nil ? 16 : 8) }
    let record = code.makeLabel()
    code.set(.rcx, UInt64(GateCode.chosenNew))
    if out != nil {
      let failed = code.makeLabel()
      code.pop(.rdi)
      code.pop(.rsi)
      code.move(.rdx, .rax)
      code.shiftLeft(.rdx, 32)  // the result is an int
      code.jump(if: .notEqual, failed)
      code.load(.rsi, .at(.rsi, 0))
      if selection.isPartial { insertChosen() }
      code.jump(record)
      code.place(failed)
      code.clear(.rsi)
    } else {
      code.pop(.rdi)
      code.move(.rsi, .rax)
      if selection.isPartial {
        code.test(.rax)
        code.jump(if: .equal, record)
        insertChosen()
      }
    }
    code.place(record)
    probe(.allocated, function)
    code.return()
    if !selection.isPartial || function.mayNest { addOriginal(function, original) }
  }

  /// Enters the block in rsi into the table. If there is no place the program is told so.
  private mutating func insertChosen() {
    let entered = code.makeLabel()
    code.move(.r11, .rsi)
    code.call(insert)
    code.jump(if: .notEqual, entered)
    code.set(.rcx, UInt64(GateCode.refused))
    code.place(entered)
  }

  /// A call that was not chosen and may call another function of the gate leaves its mark on the stack, so that the inner call
  /// is known for what it is. Any other goes on as if there were no gate.
  private mutating func passMarked(_ original: CodeAssembler.Label) {
    code.subtract(.rsp, 8)
    code.call(original)
    code.add(.rsp, 8)
    code.return()
  }

  /// Decides whether a call is chosen. Falls through if not. Changes rax and r10.
  private mutating func choose(_ size: ArgumentRegister, chosen: CodeAssembler.Label) {
    let passes = code.makeLabel()
    if selection.filtersSizes {
      code.compare(size, with: .absolute(layout.smallest))
      code.jump(if: .below, passes)
      code.compare(size, with: .absolute(layout.largest))
      code.jump(if: .above, passes)
    }
    let isDue = code.makeLabel()
    switch selection.sampling {
    case .none:
      code.jump(chosen)
      code.place(passes)
      code.place(isDue)
      return
    case .bytes, .calls:
      let retry = code.makeLabel()
      code.place(retry)
      // Each thread counts for itself.
      code.loadThreadPointer(.rax)
      code.shiftRight(.rax, 12)
      code.and(.rax, UInt32(1) << UInt32(GateLayout.slotBits) - 1)
      code.shiftLeft(.rax, 6)
      code.loadAddress(.r10, .absolute(layout.slots))
      if case .calls = selection.sampling {
        code.subtract(1, from: .indexed(.r10, .rax))
      } else {
        code.subtract(size, from: .indexed(.r10, .rax))
      }
      code.jump(if: .below, isDue)
      code.place(passes)
      // What comes next is the way of calls that are not chosen; the rest stands behind it.
      pending.append(Due(label: isDue, retry: retry, chosen: chosen, depth: code.depth))
    }
  }

  private struct Due {
    var label: CodeAssembler.Label
    var retry: CodeAssembler.Label
    var chosen: CodeAssembler.Label
    var depth: Int
  }
  private var pending: [Due] = []

  /// The counter went below 0: draws the distance to the next sample. The first time that a thread comes here it only does
  /// that, and counts the call anew.
  private mutating func addDue(_ due: Due) {
    let begins = code.makeLabel()
    code.place(due.label)
    code.depth = due.depth
    code.add(.r10, .rax)
    code.compareWord(.at(.r10, 8), with: 0)
    code.jump(if: .equal, begins)
    code.push(.r11)
    code.call(draw)
    code.pop(.r11)
    code.jump(due.chosen)
    code.place(begins)
    code.depth = due.depth
    code.push(.r11)
    code.push(.rdx)
    code.readClock()
    code.pop(.rdx)
    code.shiftLeft(.rax, 20)
    code.load(.r11, .absolute(layout.seed))
    code.exclusiveOr(.rax, .r11)
    code.exclusiveOr(.rax, .r10)
    code.add(.rax, 1)
    code.store(.rax, .at(.r10, 8))
    code.call(draw)
    code.pop(.r11)
    code.jump(due.retry)
  }

  // MARK: realloc

  private mutating func addReallocation(
    _ function: GateFunction, _ pointer: ArgumentRegister, _ size: Size, _ original: CodeAssembler.Label
  ) {
    let register = load(size, ifTooLarge: original)
    // From here on the stack holds: what was chosen, the size, the old block, the return address.
    code.push(pointer)
    code.push(register)
    code.set(.rax, selection.isPartial ? 0 : UInt64(GateCode.chosenNew))
    code.push(.rax)
    let run = code.makeLabel()
    if selection.isPartial {
      let mayBeKnown = code.makeLabel()
      let isDecided = code.makeLabel()
      let chosen = code.makeLabel()
      let hasChosen = code.makeLabel()
      lookUp(pointer)
      code.jump(if: .notEqual, mayBeKnown)
      code.place(isDecided)
      code.load(.r11, .at(.rsp, 8))
      choose(.r11, chosen: chosen)
      code.compareWord(.at(.rsp, 0), with: 0)
      code.jump(if: .notEqual, hasChosen)
      // Neither the old block nor the new one is of interest.
      if function.mayNest {
        code.call(original)
        code.add(.rsp, 24)
        code.return()
      } else {
        code.add(.rsp, 24)
        code.jump(original)
      }
      code.place(mayBeKnown)
      code.depth = 24
      code.move(.r11, pointer)
      code.call(remove)
      code.jump(if: .equal, isDecided)
      code.or(GateCode.chosenOld, into: .at(.rsp, 0))
      code.jump(isDecided)
      code.place(chosen)
      code.or(GateCode.chosenNew, into: .at(.rsp, 0))
      code.place(hasChosen)
      code.load(.rax, .at(.rsp, 0))
      code.and(.rax, UInt32(GateCode.chosenOld))
    } else {
      code.test(pointer)
    }
    code.jump(if: .equal, run)
    probe(.entered, function)  // LT_GATE_RETURN_DISTANCE: three words
    code.place(run)
    code.call(original)
    code.pop(.rcx)
    code.pop(.rdi)
    code.pop(.rdx)
    code.move(.rsi, .rax)
    if selection.isPartial { addTableOfReallocation() }
    probe(.allocated, function)
    code.return()
    addOriginal(function, original)
  }

  /// Enters the new block, or the old one again where the call has failed and left it alone.
  private mutating func addTableOfReallocation() {
    let failed = code.makeLabel()
    let done = code.makeLabel()
    code.test(.rax)
    code.jump(if: .equal, failed)
    code.move(.r10, .rcx)
    code.and(.r10, UInt32(GateCode.chosenNew))
    code.jump(if: .equal, done)
    code.move(.r11, .rsi)
    code.call(insert)
    code.jump(if: .notEqual, done)
    code.and(.rcx, UInt32(GateCode.chosenOld))
    code.add(.rcx, Int8(GateCode.refused))
    code.jump(done)
    code.place(failed)
    code.test(.rdi)
    code.jump(if: .equal, done)  // realloc(p, 0) frees
    code.move(.r10, .rcx)
    code.and(.r10, UInt32(GateCode.chosenOld))
    code.jump(if: .equal, done)
    code.move(.r11, .rdx)
    code.call(insert)
    code.jump(if: .notEqual, done)
    code.add(.rcx, Int8(GateCode.refused))
    code.place(done)
  }

  // MARK: Helpers

  mutating func addHelpers() {
    for due in pending { addDue(due) }
    if selection.sampling != .none { addDraw() }
    if selection.isPartial {
      addInsert()
      addRemove()
    }
  }

  /// Sets the counter of the thread's slot, at r10, to a new distance. Changes rax and r11.
  ///
  /// The random numbers are those of a linear congruential generator, whose upper bits are good (Knuth's MMIX).
  private mutating func addDraw() {
    code.place(draw)
    code.depth = 0
    code.set(.r11, 6_364_136_223_846_793_005)
    code.load(.rax, .at(.r10, 8))
    code.multiply(.rax, .r11)
    code.add(.rax, 127)
    code.store(.rax, .at(.r10, 8))
    code.shiftRight(.rax, 54)
    code.shiftLeft(.rax, 3)
    code.loadAddress(.r11, .absolute(layout.gaps))
    code.load(.rax, .indexed(.r11, .rax))
    code.store(.rax, .at(.r10, 0))
    code.return()
  }
}
