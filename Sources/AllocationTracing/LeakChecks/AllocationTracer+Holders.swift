import Accounting
import CTraceABI
import LeakAnalysis
import ProcessImage
import TraceModel

/// What naming the holders of blocks asks the tracer for.
extension AllocationTracer {
  /// A frame of a stack that was copied: its address in the code, and which part of the stack is its own.
  package struct CopiedFrame {
    package var address: UInt64
    package var stack: Range<UInt64>
  }

  /// The frames of a copied stack, leaf first, as far as they can be found.
  package func frames(of copy: StackCopy, in process: TracedProcess) -> [CopiedFrame] {
    guard let tables = spaces.unwindTables else { return [] }
    return copy.bytes.withUnsafeBytes { bytes in
      let found = tables.walk(
        from: copy.instructionPointer, stackPointer: copy.stackPointer, framePointer: copy.framePointer, copy: bytes,
        slot: process.slot)
      return zip(found.addresses, zip(found.stackPointers, found.stackPointers.dropFirst())).map { address, ends in
        CopiedFrame(address: address, stack: min(ends.0, ends.1)..<max(ends.0, ends.1))
      }
    }
  }

  /// The named functions at an address of a process's code, innermost first.
  package func functions(at address: UInt64, in process: TracedProcess) -> [Frame] {
    let code = RecordedCode(
      processID: process.processID, imageNumber: process.imageNumber, epoch: spaces.epoch(of: process))
    return naming.frames(of: StackTrace(addresses: [address], completeness: .callerOnly), in: code)
  }
}

extension UnwindTables {
  /// Walks a copy of a stack by what is published now.
  func walk(
    from address: UInt64, stackPointer: UInt64, framePointer: UInt64, copy: UnsafeRawBufferPointer, slot: UInt32
  ) -> (addresses: [UInt64], stackPointers: [UInt64]) {
    guard let current = publications[slot] else { return ([], []) }
    var unwinder = StackCopyUnwinder(
      frames: [address], flags: 0, lookup: address, stackPointer: stackPointer, framePointer: framePointer, origin: 0,
      copy: copy, copyStart: stackPointer)
    let isCode: (UInt64) -> Bool = { current.index(at: $0) != nil }
    _ = unwinder.walk(CodeView(isCode: isCode)) { address in
      guard let index = current.index(at: address) else { return .nothing(LT_UNWIND_UNKNOWN_MAPPING) }
      let entry = current.entries[index]
      return switch entry.source {
      case .table(let table): .rule(store.rule(in: table, at: address, tableStart: entry.tableStart))
      // A step by a frame pointer that nothing vouches for could name the wrong function.
      case .none: .nothing(LT_UNWIND_NO_ROW)
      case .refused: .nothing(LT_UNWIND_REFUSED_TABLE)
      }
    }
    return (unwinder.frames, unwinder.stackPointers)
  }
}
