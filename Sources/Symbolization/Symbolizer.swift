import CElfUtils
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
  private lazy var virtualSharedObject = VirtualSharedObject.module(options: options)

  package init(options: SymbolizerOptions = SymbolizerOptions()) {
    self.options = options
    modules = ModuleCache(options: options)
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
    let process = processes[key] ?? RecordedProcess(processID: processID)
    processes[key] = process
    var opened: [FileIdentity: RecordedProcess.Region.Contents] = [:]
    process.update(snapshot, epoch: epoch) { mapping in
      guard mapping.isFileBacked else { return contents(ofArea: mapping) }
      let file = mapping.file
      if let known = opened[file] { return known }
      let contents: RecordedProcess.Region.Contents =
        switch modules.module(for: mapping, processID: threadID ?? processID) {
        case .module(let module): .module(module)
        case .notELF: .generatedCode
        case .unreadable: .unreadable
        }
      opened[file] = contents
      return contents
    }
  }

  /// Drops what was recorded of a process.
  package func forget(processID: Int32, generation: UInt32) {
    processes[ProcessKey(processID: processID, generation: generation)] = nil
    modules.prune()
  }

  /// Gives back the memory of symbol tables and debug information; they are read again when needed.
  package func trim() {
    modules.trim()
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
      isExact = append(address, isExact: isExact, of: process, epoch: epoch, to: &frames)
    }
    return frames
  }

  /// For each address of a stack a number for the piece of code that it was in, in that epoch: equal numbers are equal code.
  package func codeIdentities(
    of stack: StackTrace, processID: Int32, generation: UInt32, epoch: UInt32
  ) -> [Int?] {
    let process = processes[ProcessKey(processID: processID, generation: generation)]
    return stack.addresses.map { address in
      (process?.region(at: address &- 1, epoch: epoch) ?? process?.region(at: address, epoch: epoch))?.number
    }
  }

  /// The variable at an address of a module's data. Searches the module's symbols one by one.
  package func variable(
    at address: UInt64, inModule path: String, processID: Int32, generation: UInt32
  ) -> (name: String, offset: UInt64)? {
    guard let process = processes[ProcessKey(processID: processID, generation: generation)] else { return nil }
    for region in process.regions where region.mapping.path == path {
      guard case .module(let module) = region.contents, let base = loadBias(of: region, module: module) else {
        continue
      }
      return module.variable(at: address &- base)
    }
    return nil
  }

  /// Appends the frames of one address. Returns whether the next address is that of an instruction, not of a return: so it
  /// is behind the code that returns from a signal handler.
  private func append(
    _ address: UInt64, isExact: Bool, of process: RecordedProcess, epoch: UInt32,
    to frames: inout [Frame]
  ) -> Bool {
    var lookup = isExact || address == 0 ? address : address - 1
    // A function that never returns may end with its call: then only the byte before is inside its mapping.
    guard
      let region = process.region(at: lookup, epoch: epoch) ?? process.region(at: address, epoch: epoch)
    else {
      var frame = Frame(address: address, unresolved: .unmapped)
      nameGeneratedFunction(at: lookup, of: process, in: &frame)
      frames.append(frame)
      return false
    }
    var frame = Frame(address: address, module: region.mapping.path)
    switch region.contents {
    case .module(let module):
      let fileOffset = address &- region.mapping.start &+ region.mapping.fileOffset
      guard let base = loadBias(of: region, module: module) else {
        frame.moduleOffset = fileOffset
        frame.unresolved = .noSymbol
        frames.append(frame)
        return false
      }
      let virtualAddress = address &- base
      let isTrampoline = module.isSignalTrampoline(at: virtualAddress)
      lookup = isTrampoline ? virtualAddress : lookup &- base
      frame.moduleOffset = virtualAddress
      frame.buildID = module.elf.buildID
      let functions = module.functions(at: lookup)
      frame.unresolved = module.isOverwritten ? .unreadableModule : .noSymbol
      append(functions, at: virtualAddress, like: frame, to: &frames)
      return isTrampoline
    case .generatedCode:
      if region.mapping.path.isEmpty { frame.module = nil }
      frame.unresolved = .generatedCode
      nameGeneratedFunction(at: lookup, of: process, in: &frame)
    case .unreadable:
      frame.moduleOffset = address &- region.mapping.start &+ region.mapping.fileOffset
      frame.unresolved = .unreadableModule
    case .kernelArea:
      frame.moduleOffset = address &- region.mapping.start
      frame.unresolved = .noSymbol
    }
    frames.append(frame)
    return false
  }

  private func nameGeneratedFunction(
    at lookup: UInt64, of process: RecordedProcess, in frame: inout Frame
  ) {
    guard let match = process.generatedFunction(at: lookup) else { return }
    frame.function = options.demangle ? Demangler.demangle(match.name) : match.name
    frame.functionOffset = frame.address &- match.start
    frame.unresolved = nil
  }

  /// Appends a frame for each function; one like the template, with its reason for having no name, if there is none.
  private func append(
    _ functions: [Module.Function], at virtualAddress: UInt64, like template: Frame,
    to frames: inout [Frame]
  ) {
    guard !functions.isEmpty else {
      frames.append(template)
      return
    }
    for (position, function) in functions.enumerated() {
      var frame = template
      frame.function = function.name
      frame.linkageName = function.linkageName
      frame.functionOffset = function.start.map { virtualAddress &- $0 }
      frame.file = function.file
      frame.line = function.line
      frame.isInlined = position < functions.count - 1
      if function.name != nil { frame.unresolved = nil }
      frames.append(frame)
    }
  }

  private func contents(ofArea mapping: Mapping) -> RecordedProcess.Region.Contents {
    switch mapping.path {
    case VirtualSharedObject.path: virtualSharedObject.map { .module($0) } ?? .unreadable
    case "[vsyscall]", "[uprobes]", "[vectors]": .kernelArea
    default: .generatedCode
    }
  }

  /// The address in the process of the module's virtual address 0 (modulo 2⁶⁴).
  private func loadBias(of region: RecordedProcess.Region, module: Module) -> UInt64? {
    let mapping = region.mapping
    if mapping.path == VirtualSharedObject.path {
      // The object is linked at 0, which is the start of the page that is mapped first.
      return mapping.start &- (module.elf.loadSegments.first?.virtualAddress ?? 0)
    }
    return module.elf.virtualAddress(ofMappingAt: mapping.fileOffset).map { mapping.start &- $0 }
  }
}
