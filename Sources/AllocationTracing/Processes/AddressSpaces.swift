import BPFRuntime
import ProcessImage
import SystemSupport

/// Tells the naming of stacks and the stack walker what the traced processes have mapped.
final class AddressSpaces {
  /// What the stack walker needs to know of each process; nil when stacks are walked by frame pointers.
  let unwindTables: UnwindTables?
  private let epochs: MappingEpochs
  private let reader: ProcessReader
  private let naming: any StackNaming
  private let notes: TraceNotes

  init(
    object: BPFObject, unwindTables: UnwindTables?, reader: ProcessReader, naming: any StackNaming, notes: TraceNotes
  ) throws(BPFError) {
    self.unwindTables = unwindTables
    epochs = try MappingEpochs(object: object)
    self.reader = reader
    self.naming = naming
    self.notes = notes
  }

  /// See ``MappingEpochs``.
  func epoch(of process: TracedProcess) -> UInt32 { epochs[process.slot] }

  /// Reads the mappings of a process and makes them known. To be called before the first probe is attached, and whenever
  /// mappings have changed.
  ///
  /// - Parameter address: the address that the stack walker has asked about; 0 when it has not asked.
  func read(_ process: TracedProcess, askedFor address: UInt64 = 0) throws(Refusal) {
    var snapshot = AddressSpaceSnapshot()
    if let unwindTables {
      do {
        let found = try unwindTables.refresh(
          slot: process.slot, generation: process.generation, processID: process.processID,
          address: address)
        process.mappings = found.mappings
        process.threadID = found.threadID
        snapshot = found.snapshot
      } catch {
        notes.addOnce("stacks of process \(process.processID) may be cut short: \(error)")
      }
      if process.mappings.isEmpty { process.mappings = try reader.mappings(of: process.processID) }
    } else {
      process.threadID = ProcessInfo.readableThread(of: process.processID)
      process.mappings = try reader.mappings(of: process.threadID)
      snapshot = AddressSpaceSnapshot(mappings: process.mappings)
      if !snapshot.keepsCode(of: process.mappingState.snapshot) { epochs.raise(process.slot) }
    }
    let state = TracedProcess.MappingState(
      snapshot: snapshot, imageNumber: process.imageNumber, epoch: epoch(of: process))
    if state == process.mappingState { return }
    process.mappingState = state
    naming.record(process)
  }

  /// Takes back what was made known of a process that has ended.
  func release(_ process: TracedProcess) { unwindTables?.release(slot: process.slot) }
}
