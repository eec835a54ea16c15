import CTraceABI
import ProcessImage

// MARK: - Stacks that the walker could not complete

extension UnwindTables {
  /// A stack that was completed from its copy.
  struct CompletedStack {
    var frames: [UInt64]
    /// The outcome as the programs encode it: status, reason and flags.
    var outcome: UInt32
    /// Whether all code that its addresses lie in is still what it was when the stack was recorded.
    var isCurrent: Bool
  }

  /// What is published for a process now. Whoever reads its mappings for a sample gets this before, to compare it
  /// afterwards.
  func publication(slot: UInt32) -> UnwindPublication? { publications[slot] }

  /// Counts one sample less that is on its way to user space.
  func acknowledgeSample(slot: UInt32) {
    ctrace_add_32(&process(slot).pointee.waiting_samples, UInt32.max)
  }

  /// Continues a walk from where the walker had to stop, with what is published now. The sample tells what the process had
  /// mapped when it was taken. Where something else is mapped by now, the stack ends before that and says so.
  ///
  /// - Parameter earlier: what was published before the process's mappings were read for this sample.
  func complete(
    _ sample: UnsafePointer<lt_unwind_sample>, earlier: UnwindPublication?
  ) -> CompletedStack {
    let header = sample.pointee
    let record = SampleRecord(sample)
    let current = publications[header.process_slot].flatMap {
      $0.generation == header.generation ? $0 : nil
    }
    var isCurrent = current != nil
    // Whether the walk ended in code whose place other code has taken.
    var isReplaced = false
    var unwinder = StackCopyUnwinder(
      frames: record.frames, flags: header.walked.outcome & ~0xffff, lookup: header.lookup,
      stackPointer: header.sp, framePointer: header.fp,
      origin: header.origin, copy: record.stack, copyStart: header.sp)
    lazy var memory = try? RemoteMemory(processID: Int32(bitPattern: header.process_id))
    let isCode: (UInt64) -> Bool = { current?.index(at: $0) != nil }
    let rule: (UnwindPublication, Int, UInt64) -> StackCopyUnwinder.Knowledge = { [store] current, index, address in
      let entry = current.entries[index]
      switch entry.source {
      case .table(let table): return .rule(store.rule(in: table, at: address, tableStart: entry.tableStart))
      case .none: return .rule(CFIRule.noRow)
      case .refused: return .nothing(LT_UNWIND_REFUSED_TABLE)
      }
    }
    let view = CodeView(
      isCode: isCode,
      hasRow: { address in
        guard let current, let index = current.index(at: address), case .rule(let found) = rule(current, index, address)
        else { return nil }
        return found != CFIRule.noRow
      }, word: { memory?.value(at: $0, as: UInt64.self) })
    let outcome = unwinder.walk(view) { address in
      guard let current, let index = current.index(at: address),
        isSame(current.areas[index], at: address, in: record, earlier: earlier)
      else {
        isCurrent = false
        isReplaced = current?.index(at: address) != nil
        let isTrampoline = uprobePages[header.process_slot]?.contains(address &+ 1) == true
        return .nothing(isTrampoline ? LT_UNWIND_UPROBE_TRAMPOLINE : LT_UNWIND_UNKNOWN_MAPPING)
      }
      return rule(current, index, address)
    }
    // Nobody has seen the code that the last address lay in, and it would be given a name of the code that came after.
    let frames = isReplaced && unwinder.frames.count > 1 ? unwinder.frames.dropLast() : unwinder.frames
    return CompletedStack(frames: Array(frames), outcome: outcome, isCurrent: isCurrent)
  }

  private func isSame(
    _ area: AddressSpaceSnapshot.Area, at address: UInt64, in record: SampleRecord,
    earlier: UnwindPublication?
  ) -> Bool {
    if let then = record.area(at: address) { return then.identity == area.identity }
    // On kernels that cannot list areas, nothing tells a difference; but the copy is only milliseconds old.
    if !record.canListAreas { return true }
    if record.isCompleteList { return false }
    // It is the same if it had been published before and still is.
    guard let earlier, earlier.addressSpace != 0, earlier.addressSpace == record.addressSpace,
      let index = earlier.index(at: address)
    else { return false }
    return earlier.areas[index] == area
  }
}

/// A view of a sample in the ring buffer, and of the copy of the stack behind it.
private struct SampleRecord {
  let frames: [UInt64]
  let stack: UnsafeRawBufferPointer
  let canListAreas: Bool
  /// Whether the listed areas are all that there were.
  let isCompleteList: Bool
  let addressSpace: UInt64
  private let areas: UnsafeBufferPointer<lt_unwind_area>

  init(_ sample: UnsafePointer<lt_unwind_sample>) {
    let bytes = UnsafeRawPointer(sample)
    let header = sample.pointee
    let depth = min(Int(header.walked.depth), Int(LT_MAX_STACK_DEPTH))
    let walked = bytes + MemoryLayout<lt_unwind_sample>.offset(of: \.walked)!
    let walkedFrames = (walked + MemoryLayout<lt_stack>.offset(of: \.frames)!)
      .assumingMemoryBound(to: UInt64.self)
    frames = Array(UnsafeBufferPointer(start: walkedFrames, count: depth))
    stack = UnsafeRawBufferPointer(
      start: bytes + MemoryLayout<lt_unwind_sample>.size,
      count: min(Int(header.stack_bytes), Int(LT_UNWIND_SAMPLE_STACK_BYTES)))
    let count = min(Int(header.area_count), Int(LT_UNWIND_SAMPLE_AREAS))
    areas = UnsafeBufferPointer(
      start: (bytes + MemoryLayout<lt_unwind_sample>.offset(of: \.areas)!)
        .assumingMemoryBound(to: lt_unwind_area.self), count: count)
    canListAreas = header.can_list_areas != 0
    isCompleteList = count > 0 && count < Int(LT_UNWIND_SAMPLE_AREAS)
    addressSpace = header.view >> 48
  }

  func area(at address: UInt64) -> lt_unwind_area? {
    areas.first { $0.start <= address && address < $0.end }
  }
}
