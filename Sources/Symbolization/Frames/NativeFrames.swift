import ProcessImage
import TraceModel

/// Code of an ELF file, named by its symbols and its debug information.
struct NativeFrames: FrameSource {
  let module: Module
  var codeKey: CodeKey? { module.codeKey }

  /// The address in the process of the module's virtual address 0 (modulo 2⁶⁴).
  func loadBias(in mapping: Mapping) -> UInt64? {
    if mapping.path == VirtualSharedObject.path {
      // Linked at 0 in the page that is mapped first.
      return mapping.start &- (module.elf.loadSegments.first?.virtualAddress ?? 0)
    }
    return module.elf.virtualAddress(ofMappingAt: mapping.fileOffset).map { mapping.start &- $0 }
  }

  func append(_ request: FrameRequest, to frames: inout [Frame]) -> Bool {
    var frame = Frame(address: request.address, module: request.mapping?.path)
    guard let base = request.mapping.flatMap(loadBias(in:)) else {
      frame.moduleOffset = request.fileOffset
      frame.unresolved = .noSymbol
      frames.append(frame)
      return false
    }
    let virtualAddress = request.address &- base
    let isTrampoline = module.isSignalTrampoline(at: virtualAddress)
    frame.moduleOffset = virtualAddress
    frame.buildID = module.elf.buildID
    let functions = module.functions(at: isTrampoline ? virtualAddress : request.lookup &- base)
    frame.unresolved = module.isOverwritten ? .unreadableModule : .noSymbol
    append(functions, at: virtualAddress, like: frame, to: &frames)
    return isTrampoline
  }

  /// Appends a frame for each function; one like the template, with its reason for having no name, if there is none.
  private func append(
    _ functions: [Module.Function], at virtualAddress: UInt64, like template: Frame, to frames: inout [Frame]
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
}

/// A file that could not be opened.
struct UnreadableFrames: FrameSource {
  var isUnreadable: Bool { true }

  func append(_ request: FrameRequest, to frames: inout [Frame]) -> Bool {
    var frame = Frame(address: request.address, module: request.mapping?.path)
    frame.moduleOffset = request.fileOffset
    frame.unresolved = .unreadableModule
    frames.append(frame)
    return false
  }
}

/// A kernel area without a symbol table (`[vsyscall]`, `[uprobes]`).
struct KernelAreaFrames: FrameSource {
  func append(_ request: FrameRequest, to frames: inout [Frame]) -> Bool {
    var frame = Frame(address: request.address, module: request.mapping?.path)
    frame.moduleOffset = request.offset
    frame.unresolved = .noSymbol
    frames.append(frame)
    return false
  }
}
