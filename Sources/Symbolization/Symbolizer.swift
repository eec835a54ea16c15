import CElfUtils
import CTraceABI
import ProcessImage
import SystemSupport
import TraceModel

/// Names the addresses of call stacks.
///
/// Mappings are recorded while a process lives, which opens its files; symbols are read when a stack is asked for, also after
/// the process has ended. Not safe for use from several threads at once.
package final class Symbolizer {
  private struct ProcessKey: Hashable {
    var processID: Int32
    var generation: UInt32
  }

  private let options: SymbolizerOptions
  private let modules: ModuleCache
  private var processes: [ProcessKey: RecordedProcess] = [:]
  private let perfMapLimits = PerfMapLimits()
  private let codeNumbers = CodeNumbers()
  private let losses = NamingLosses()
  /// What reads hostile files; nil: this process does.
  private let worker: SymbolWorker?
  private lazy var virtualSharedObject = VirtualSharedObject.module(options: options)
  /// What names frames of runtimes, by their kind on the wire.
  private let runtimeSources: [UInt32: any FrameSource]

  package convenience init(options: SymbolizerOptions = SymbolizerOptions()) {
    self.init(options: options, runtimeSources: [:])
  }

  init(options: SymbolizerOptions, runtimeSources: [UInt32: any FrameSource]) {
    self.options = options
    self.runtimeSources = runtimeSources
    worker = options.worker.map { SymbolWorker(limits: $0, isInterrupted: options.isInterrupted) }
    modules = ModuleCache(options: options, losses: losses, worker: worker)
  }

  /// Records what is executable in a process and opens its files, so that its stacks can be named after it has ended. Reads no
  /// symbols.
  ///
  /// Call again when mappings have changed, with a higher epoch when code was taken away or replaced. `generation` tells apart
  /// programs that one pid has run (exec) and processes that had the same pid.
  ///
  /// - Parameter threadID: a thread by which the files of the process can be opened, should it not be the first.
  package func record(
    processID: Int32, threadID: Int32? = nil, generation: UInt32, snapshot: AddressSpaceSnapshot,
    epoch: UInt32 = 0
  ) {
    let key = ProcessKey(processID: processID, generation: generation)
    let process =
      processes[key] ?? RecordedProcess(processID: processID, perfMapLimits: perfMapLimits, numbers: codeNumbers)
    processes[key] = process
    var opened: [FileIdentity: any FrameSource] = [:]
    process.update(snapshot, epoch: epoch) { mapping in
      guard mapping.isFileBacked else { return source(ofArea: mapping) }
      let file = mapping.file
      if let known = opened[file] { return known }
      let source: any FrameSource =
        switch modules.module(for: mapping, processID: threadID ?? processID) {
        case .module(let module): NativeFrames(module: module)
        case .notELF: GeneratedFrames()
        case .unreadable: UnreadableFrames()
        }
      opened[file] = source
      return source
    }
  }

  /// Drops what was recorded of a process.
  package func forget(processID: Int32, generation: UInt32) {
    processes[ProcessKey(processID: processID, generation: generation)] = nil
    modules.prune()
  }

  /// What could not be named, or not as well as it might, because it exceeds a limit: sentences for the notes of a report.
  package var notes: [String] { losses.notes + perfMapLimits.notes }

  /// The process that reads files for this symbolizer; nil if there is none at present.
  var workerProcessID: Int32? { worker.flatMap { $0.processID > 0 ? $0.processID : nil } }

  /// Gives back the memory of symbol tables and debug information; they are read again when needed.
  package func trim() {
    modules.trim()
    worker?.stop()
    Self.returnFreedMemory()
  }

  /// Gives back to the kernel what is free in the heap, which the allocator would keep.
  package static func returnFreedMemory() { celf_return_freed_memory() }

  /// The frames of a stack, leaf first. Inlined functions come as frames of their own before the function they were inlined
  /// into.
  ///
  /// All addresses but the leaf are return addresses and therefore looked up one byte earlier, inside the call; the leaf too
  /// unless `leafIsExact`. `Frame.address` is the address as given. Never fails: what cannot be named carries a reason.
  ///
  /// The stack is named by the mappings as they were in the epoch in which it was recorded.
  package func frames(
    for stack: StackTrace, processID: Int32, generation: UInt32, epoch: UInt32 = 0, leafIsExact: Bool
  ) -> [Frame] {
    let process = processes[ProcessKey(processID: processID, generation: generation)]
    var frames: [Frame] = []
    frames.reserveCapacity(stack.addresses.count)
    var isExact = leafIsExact
    process?.beginStack()
    for address in stack.addresses {
      guard let process else {
        frames.append(Frame(address: address, unresolved: .processGone))
        continue
      }
      switch FrameKind(ofWord: address) {
      case .native: isExact = append(address, isExact: isExact, of: process, epoch: epoch, to: &frames)
      case .runtime(let kind):
        isExact = append(frameOfRuntime: kind, word: address, of: process, to: &frames)
      case .kernel, .unknown:
        frames.append(Frame(address: address, unresolved: .unmapped))
        isExact = false
      }
    }
    return frames
  }

  /// For each address of a stack the place in code that it was in that epoch.
  package func codePlaces(
    of stack: StackTrace, processID: Int32, generation: UInt32, epoch: UInt32
  ) -> [CodePlace?] {
    let process = processes[ProcessKey(processID: processID, generation: generation)]
    return stack.addresses.map { process?.place(of: $0, epoch: epoch) }
  }

  /// Whether a process has removed code that it had mapped, so that the same code may have lain at several places.
  package func hasRemovedCode(processID: Int32, generation: UInt32) -> Bool {
    processes[ProcessKey(processID: processID, generation: generation)].map { !$0.former.isEmpty } ?? false
  }

  /// A variable as it lies in a process.
  package struct FoundVariable {
    package var name: String
    package var address: UInt64
    /// In bytes; 0 when it is not known.
    package var size: UInt64
    package var file: String?
    package var line: Int?
    package var type: String?
  }

  /// The variable at an address of a module's data. Searches the module's symbols one by one.
  package func variable(
    at address: UInt64, inModule path: String, processID: Int32, generation: UInt32
  ) -> FoundVariable? {
    guard let process = processes[ProcessKey(processID: processID, generation: generation)] else { return nil }
    for region in process.regions where region.mapping.path == path {
      guard let native = region.source as? NativeFrames, let base = native.loadBias(in: region.mapping) else {
        continue
      }
      return native.module.variable(at: address &- base).map {
        FoundVariable(
          name: $0.name, address: $0.start &+ base, size: $0.size, file: $0.file, line: $0.line, type: $0.type)
      }
    }
    return nil
  }

  /// Appends the frames of one address. Returns whether the next address is that of an instruction, not of a return: so it
  /// is behind the code that returns from a signal handler.
  private func append(
    _ address: UInt64, isExact: Bool, of process: RecordedProcess, epoch: UInt32,
    to frames: inout [Frame]
  ) -> Bool {
    let lookup = isExact || address == 0 ? address : address - 1
    // A function that never returns may end with its call: then only the byte before is inside its mapping.
    guard
      let region = process.region(at: lookup, epoch: epoch) ?? process.region(at: address, epoch: epoch)
    else {
      var frame = Frame(address: address, unresolved: .unmapped)
      GeneratedFrames.name(&frame, at: lookup, of: process, demangle)
      frames.append(frame)
      return false
    }
    let request = FrameRequest(
      address: address, lookup: lookup, mapping: region.mapping, process: process, options: options,
      demangle: demangle)
    return region.source.append(request, to: &frames)
  }

  private func append(
    frameOfRuntime kind: UInt32, word: UInt64, of process: RecordedProcess, to frames: inout [Frame]
  ) -> Bool {
    guard let source = runtimeSources[kind] else {
      frames.append(Frame(address: word, unresolved: .unmapped))
      return false
    }
    let payload = lt_frame_payload(word)
    return source.append(
      FrameRequest(
        address: payload, lookup: payload, mapping: nil, process: process, options: options,
        demangle: demangle), to: &frames)
  }

  /// The plain form of a name that a process has chosen, which is read where files are read.
  private func demangle(_ name: String) -> String {
    guard options.demangle, Demangler.isMangled(name) else { return name }
    guard let worker else { return Demangler.demangle(name) }
    var message = MessageWriter()
    message.put(WorkerRequest.demangle.rawValue)
    message.put(name)
    guard var answer = try? worker.request(message) else { return name }
    return answer.text() ?? name
  }

  private func source(ofArea mapping: Mapping) -> any FrameSource {
    switch mapping.path {
    case VirtualSharedObject.path: virtualSharedObject.map { NativeFrames(module: $0) } ?? UnreadableFrames()
    case "[vsyscall]", "[uprobes]", "[vectors]": KernelAreaFrames()
    default: GeneratedFrames()
    }
  }
}
