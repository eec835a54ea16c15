import CTraceABI

/// Walks a copy of a stack by call-frame rows. It does the same as `BPF/unwind/unwind.bpf.h`, but later: for stacks of
/// which the BPF programs had no rows when they saw them.
package struct StackCopyUnwinder {
  /// What is known of the code at an address.
  package enum Knowledge {
    /// A rule of ``CFITable``.
    case rule(UInt64)
    /// There is no rule, so the walk ends here, for this reason.
    case nothing(lt_unwind_counter)
  }

  /// The address at which the stack of the program's first thread begins.
  package let origin: UInt64
  /// The memory that was copied, and the address of its first byte.
  package let copy: UnsafeRawBufferPointer
  package let copyStart: UInt64
  /// The frames that have been found, the leaf first, and the flags of what happened on the way (`lt_stack.outcome`
  /// without the status).
  package private(set) var frames: [UInt64]
  package private(set) var flags: UInt32

  /// The stack pointer in each of the frames found by walking: the last ones of `frames`.
  package private(set) var stackPointers: [UInt64]

  private var lookup: UInt64
  private var stackPointer: UInt64
  private var framePointer: UInt64

  private static let maximumFramePointerDistance: UInt64 = 1 << 20

  /// - Parameters:
  ///   - frames: the part of the stack that is known already, at least one frame.
  ///   - lookup: the address by which the rule of the last of these frames is looked up.
  ///   - stackPointer: the stack pointer in that frame.
  ///   - framePointer: the frame pointer in that frame.
  package init(
    frames: [UInt64], flags: UInt32, lookup: UInt64, stackPointer: UInt64, framePointer: UInt64,
    origin: UInt64, copy: UnsafeRawBufferPointer, copyStart: UInt64
  ) {
    self.origin = origin
    self.frames = frames
    self.flags = flags
    self.lookup = lookup
    self.stackPointer = stackPointer
    stackPointers = [stackPointer]
    self.framePointer = framePointer
    self.copy = copy
    self.copyStart = copyStart
  }

  /// Walks until the stack ends or the walk cannot go on. Returns the outcome in the form that the BPF programs use:
  /// status, reason and flags.
  ///
  /// - Parameters:
  ///   - view: what the code itself tells, for frames without a rule.
  ///   - knowledge: tells what is known of an address; it is called once for each frame.
  package mutating func walk(_ view: CodeView, _ knowledge: (UInt64) -> Knowledge) -> UInt32 {
    // The loop ends, because each step either adds a frame or ends the walk.
    while true {
      let end: End?
      switch knowledge(lookup) {
      case .nothing(let reason): end = .broken(reason)
      case .rule(let rule): end = step(rule, view)
      }
      if let end { return end.outcome | flags }
    }
  }

  private enum End {
    case complete, truncated
    case broken(lt_unwind_counter)

    var outcome: UInt32 {
      switch self {
      case .complete: LT_OUTCOME_COMPLETE.rawValue
      case .truncated: LT_OUTCOME_TRUNCATED.rawValue
      case .broken(let reason): LT_OUTCOME_BROKEN.rawValue | reason.rawValue << 8
      }
    }
  }

  private func word(at address: UInt64) -> UInt64? {
    let offset = address &- copyStart
    guard offset < UInt64(copy.count), UInt64(copy.count) - offset >= 8 else { return nil }
    return copy.loadUnaligned(fromByteOffset: Int(offset), as: UInt64.self)
  }

  private mutating func step(_ rule: UInt64, _ view: CodeView) -> End? {
    let offset = UInt64(bitPattern: Int64(bitPattern: rule) >> 32)
    let savedFramePointer = UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: rule >> 16)))
    let auxiliary = rule >> 8 & 0xff
    let isRelative = auxiliary & UInt64(LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE) != 0
    let kind = lt_unwind_rule_kind(UInt32(rule & 0xff))
    var frame: UInt64
    switch kind {
    case LT_UNWIND_RULE_END: return .complete
    case LT_UNWIND_RULE_NO_ROW: return stepWithoutRow(view)
    case LT_UNWIND_RULE_SIGNAL: return signalStep(stackPointer &+ offset)
    case LT_UNWIND_RULE_STACK_POINTER: frame = stackPointer &+ offset
    case LT_UNWIND_RULE_FRAME_POINTER: frame = framePointer &+ offset
    case LT_UNWIND_RULE_PLT:
      frame = stackPointer &+ offset &+ (lookup & 15 >= auxiliary ? 8 : 0)
    case LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED:
      let base = kind == LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED ? stackPointer : framePointer
      guard let value = word(at: base &+ offset) else { return .broken(LT_UNWIND_UNREADABLE_STACK) }
      frame = value &+ (auxiliary & 0x7f)
    default: return .broken(LT_UNWIND_UNSUPPORTED_RULE)
    }
    guard frame > stackPointer, frame & 7 == 0 else { return .broken(LT_UNWIND_INVALID_FRAME) }
    let hasFlags = kind != LT_UNWIND_RULE_PLT
    var callersFramePointer = framePointer
    if savedFramePointer != 0 || hasFlags && isRelative {
      let place = (hasFlags && isRelative ? framePointer : frame) &+ savedFramePointer
      guard let value = word(at: place) else { return .broken(LT_UNWIND_UNREADABLE_STACK) }
      callersFramePointer = value
    }
    guard let address = word(at: frame &- 8) else { return .broken(LT_UNWIND_UNREADABLE_STACK) }
    return push(address, stackPointer: frame, framePointer: callersFramePointer, distance: 1)
  }

  /// Whether the current frame, for which there is no row, is the outermost one of the stack. It is when, from here up
  /// to the program's arguments, at most one word may be a return address: that of the entry point.
  private func isOutermost(_ isCode: (UInt64) -> Bool) -> Bool {
    guard origin &- stackPointer <= UInt64(LT_UNWIND_ORIGIN_DISTANCE) else { return false }
    let words = stride(from: stackPointer, to: origin & ~7, by: 8).compactMap { word(at: $0) }
    return words.count(where: isCode) <= 1
  }

  /// Goes on from a frame without call-frame information to its caller: by the frame record at the frame pointer if one is
  /// there, or else by the return address where the function's beginning says that it lies.
  private mutating func stepWithoutRow(_ view: CodeView) -> End? {
    if isOutermost(view.isCode) { return .complete }
    let canBe =
      framePointer >= stackPointer && framePointer - stackPointer < Self.maximumFramePointerDistance
      && framePointer & 7 == 0
    var record: (callers: UInt64, address: UInt64)?
    if canBe, let callers = word(at: framePointer), let address = word(at: framePointer &+ 8) {
      record = (callers, address)
    }
    let isRecord = record.map { $0.address == 0 || view.isBehindCall($0.address) } ?? false
    if !isRecord, let found = scan(view) {
      flags |= UInt32(LT_UNWIND_FLAG_FRAME_POINTERS)
      return push(found.address, stackPointer: found.stackPointer, framePointer: found.framePointer, distance: 1)
    }
    guard let record, isRecord else {
      return .broken(!canBe || record != nil ? LT_UNWIND_NO_ROW : LT_UNWIND_UNREADABLE_STACK)
    }
    flags |= UInt32(LT_UNWIND_FLAG_FRAME_POINTERS)
    return push(record.address, stackPointer: framePointer &+ 16, framePointer: record.callers, distance: 1)
  }

  /// Looks for the return address of the current frame on the stack. The call in front of it leads to a function without
  /// call-frame information, and the beginning of that function says that its return address lies just there.
  private func scan(_ view: CodeView) -> (address: UInt64, stackPointer: UInt64, framePointer: UInt64)? {
    for index in 0..<UInt64(LT_UNWIND_SCANNED_WORDS) {
      let place = stackPointer &+ index * 8
      guard let address = word(at: place) else { return nil }
      guard address >= UInt64(LT_UNWIND_PAGE_BYTES), address >> UInt64(LT_UNWIND_ADDRESS_BITS) == 0,
        address &- stackPointer >= Self.maximumFramePointerDistance,
        case .own(let function) = view.call(before: address, in: lookup), view.isCode(address - 1)
      else { continue }
      let prologue = view.prologue(ofFunctionAt: function, upTo: lookup)
      guard index * 8 == prologue.bytes else { continue }
      let saved = prologue.frame_pointer == 0 ? nil : word(at: place &- prologue.frame_pointer)
      return (address, place &+ 8, saved ?? framePointer)
    }
    return nil
  }

  private mutating func signalStep(_ frame: UInt64) -> End? {
    let registers = frame &+ UInt64(SignalFrame.registers)
    guard let callersFramePointer = word(at: registers),
      let callersStackPointer = word(at: registers &+ UInt64(SignalFrame.stackPointer)),
      let address = word(at: registers &+ UInt64(SignalFrame.programCounter))
    else { return .broken(LT_UNWIND_UNREADABLE_STACK) }
    flags |= UInt32(LT_UNWIND_FLAG_SIGNAL)
    let end = push(address, stackPointer: callersStackPointer, framePointer: callersFramePointer, distance: 0)
    return end == nil && callersStackPointer & 7 != 0 ? .broken(LT_UNWIND_INVALID_FRAME) : end
  }

  private mutating func push(
    _ address: UInt64, stackPointer: UInt64, framePointer: UInt64, distance: UInt64
  ) -> End? {
    if address == 0 { return .complete }
    guard address >= UInt64(LT_UNWIND_PAGE_BYTES), address >> UInt64(LT_UNWIND_ADDRESS_BITS) == 0 else {
      return .broken(LT_UNWIND_INVALID_ADDRESS)
    }
    guard frames.count < Int(LT_MAX_STACK_DEPTH) else { return .truncated }
    frames.append(address)
    stackPointers.append(stackPointer)
    lookup = address - distance
    self.stackPointer = stackPointer
    self.framePointer = framePointer
    return nil
  }
}
