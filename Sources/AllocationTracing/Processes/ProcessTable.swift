import CTraceABI
import ProcessImage
import Quantities
import SystemSupport
import TraceModel

/// The processes of a trace: in the order in which they joined it, by process id while they run, and by the slot under which
/// the BPF programs know them.
final class ProcessTable {
  private let tables: TraceTables
  /// Ended ones included.
  private(set) var all: [TracedProcess] = []
  private var bySlot: [UInt32: TracedProcess] = [:]
  private var runningByID: [Int32: TracedProcess] = [:]
  private var nextSlot: UInt32 = 0
  private var lastImageNumber: UInt32 = 0
  /// Totals of images that exec replaced.
  private(set) var replacedImages: [Report.ProcessTotals] = []

  /// How many processes are traced at a time, at most.
  let limit: Int

  init(tables: TraceTables, limit: Int) {
    self.tables = tables
    self.limit = min(limit, Int(LT_MAX_PROCESS_SLOTS))
  }

  var isFull: Bool { runningByID.count >= limit }

  func running(_ processID: Int32) -> TracedProcess? { runningByID[processID] }
  /// The process that a slot stands for, or stood for last.
  func process(slot: UInt32) -> TracedProcess? { bySlot[slot] }

  /// Makes a process one of the trace.
  ///
  /// - Parameter makeImage: makes the image that the process runs, from its generation and the image's number.
  func enter(
    processID: Int32, parent: TracedProcess?, description: ProcessReader.Description,
    makeImage: (_ generation: UInt32, _ number: UInt32) -> TracedImage
  ) throws -> TracedProcess {
    guard !isFull, let slot = takeSlot() else {
      throw Refusal("process \(processID): \(groupedNumber(limit)) processes are traced already (--max-processes)")
    }
    // A generation of its own, so that what is left in the tables of the slot's last process is not taken for this one's.
    let generation = tables.process(slot: slot).generation &+ 1
    let process = TracedProcess(
      processID: processID, slot: slot, parentProcessID: parent?.processID, isTarget: parent == nil,
      image: makeImage(generation, nextImageNumber()), command: description.command,
      executable: description.executable, controlGroup: try? ControlGroupPath.read(processID: processID))
    try tables.enter(processID: processID, slot: slot, generation: generation, isTarget: process.isTarget)
    bySlot[slot] = process
    runningByID[processID] = process
    all.append(process)
    return process
  }

  func nextImageNumber() -> UInt32 {
    lastImageNumber += 1
    return lastImageNumber
  }

  /// Notes that a process has replaced its program. What the old program held is removed; its totals are kept.
  func replaceImage(of process: TracedProcess, with image: TracedImage, totals: Report.Totals) {
    if totals.allocated.count > 0 {
      replacedImages.append(
        Report.ProcessTotals(
          processID: process.processID, parentProcessID: process.parentProcessID, command: process.command,
          state: .replaced, totals: totals, controlGroup: process.controlGroup))
    }
    tables.removeSites(slot: process.slot, olderThan: image.generation)
    try? tables.removeBlocks(slot: process.slot, keepingGeneration: image.generation)
    process.image = image
    process.leaveGates()
    tables.setGates([], slot: process.slot)
  }

  func end(_ process: TracedProcess, at time: UInt64) {
    process.state = .exited
    process.endTime = time
    process.links = []
    process.gates = []
    runningByID[process.processID] = nil
    tables.leave(processID: process.processID)
  }

  /// Removes a process that could not be attached to.
  func abandon(_ process: TracedProcess) {
    process.links = []
    process.gates = []
    tables.leave(processID: process.processID)
    runningByID[process.processID] = nil
    bySlot[process.slot] = nil
    all.removeAll { $0 === process }
  }

  /// The next slot that no running process has. Slots are taken in turn, so that what is known of an ended process stays for
  /// as long as possible.
  private func takeSlot() -> UInt32? {
    for _ in 0..<UInt32(LT_MAX_PROCESS_SLOTS) {
      let slot = nextSlot
      nextSlot = (nextSlot + 1) % UInt32(LT_MAX_PROCESS_SLOTS)
      guard let owner = bySlot[slot] else { return slot }
      if owner.state == .exited {
        forget(owner)
        return slot
      }
    }
    return nil
  }

  /// Removes everything that the kernel's tables hold of an ended process.
  private func forget(_ process: TracedProcess) {
    tables.removeSites(slot: process.slot, olderThan: UInt32.max)
    try? tables.removeBlocks(slot: process.slot, keepingGeneration: nil)
    bySlot[process.slot] = nil
    all.removeAll { $0 === process }
  }
}
