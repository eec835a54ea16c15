import BPFRuntime
import ProcessImage
import TraceModel

/// The code that the addresses of a stack refer to: that of a process at the time when the stack was recorded.
package struct RecordedCode: Equatable, Sendable {
  package var processID: Int32
  /// See `TracedProcess.imageNumber`.
  package var imageNumber: UInt32
  /// See ``MappingEpochs``.
  package var epoch: UInt32
}

/// One process of a trace, from attach to its end.
package final class TracedProcess {
  package let processID: Int32
  let slot: UInt32
  package let parentProcessID: Int32?
  /// Whether the user named it; false for a child that is followed.
  package let isTarget: Bool
  /// Its control group when its trace began: the path in the unified hierarchy, or else the one of its memory controller.
  package let controlGroup: String?

  /// The program that it runs; exec replaces it as a whole.
  var image: TracedImage
  package internal(set) var command: String
  package internal(set) var executable: String?
  package internal(set) var state = Report.ProcessTotals.State.running
  /// CLOCK_MONOTONIC nanoseconds.
  package internal(set) var endTime: UInt64?

  /// Indices of the places that are probed in this process. Its children get the same ones, because they have the same code.
  var probes: [UInt32] = [] { didSet { codeAreas = nil } }
  var links: [Link] = []
  /// The gates through which its calls go. Its children have them, too, until they run another program.
  var gates: [TracedGate] = []
  /// Where its dynamic loader tells of changes and its unwinders look for handlers, as far as that is probed.
  var hooks: [LibraryHook] = []
  /// Whether a function that allocates or frees is probed.
  var hasAllocator = false
  /// Why nothing can be traced in it and what to do.
  var failure: String?

  /// A thread through which the process's memory and files can be read.
  package internal(set) var threadID: Int32
  package var mappings: [Mapping] = [] { didSet { codeAreas = nil } }
  /// Which of them are executable, and in which image and epoch.
  package internal(set) var mappingState = MappingState()
  /// nil until somebody asks for it.
  var codeAreas: CodeAreas?

  package struct MappingState: Equatable {
    package var snapshot = AddressSpaceSnapshot()
    var imageNumber: UInt32 = 0
    /// See ``MappingEpochs``.
    package var epoch: UInt32 = 0
  }

  init(
    processID: Int32, slot: UInt32, parentProcessID: Int32?, isTarget: Bool, image: TracedImage, command: String,
    executable: String?, controlGroup: String?
  ) {
    self.processID = processID
    threadID = processID
    self.slot = slot
    self.parentProcessID = parentProcessID
    self.isTarget = isTarget
    self.image = image
    self.command = command
    self.executable = executable
    self.controlGroup = controlGroup
  }

  /// Raised by each exec.
  package var generation: UInt32 { image.generation }
  /// Different from the number of every other program image of the trace.
  package var imageNumber: UInt32 { image.number }
  /// Whether every block in its heap was allocated while it was traced.
  package var hasOnlyTracedBlocks: Bool { image.hasOnlyTracedBlocks }
  /// Whether its present program, or it itself as a child, is traced from its first allocation.
  package var isTracedFromStart: Bool { image.isTracedFromStart }
}
