import TraceModel

/// The frame of a stack to look at first: the innermost one that is neither an allocator's, nor the runtime's, nor of a
/// standard library.
package enum OwnFrame {
  /// The position of a site's own frame in its frames; nil where there are none.
  ///
  /// Interpreters' own functions count only where nothing else does: an extension or a function of the interpreted program
  /// is nearer to the cause. `main` beyond them says nothing. Where every frame belongs to allocators and runtimes, it is the
  /// innermost that is no allocator's, and at last the innermost.
  package static func index(in site: AllocationSite, roles: FrameRoles) -> Int? {
    index(in: site.frames, isKernel: site.isOfKernel, roles: roles)
  }

  package static func index(in frames: [Frame], isKernel: Bool = false, roles: FrameRoles) -> Int? {
    var interpreter: Int?
    var beyondAllocator: Int?
    for (index, frame) in frames.enumerated() {
      switch roles.role(of: frame, isKernel: isKernel) {
      case .allocator: continue
      case .runtime, .standardLibrary: break
      case .interpreter: interpreter = interpreter ?? index
      case .program:
        if interpreter != nil, frame.function == "main" { break }
        return index
      }
      beyondAllocator = beyondAllocator ?? index
    }
    return interpreter ?? beyondAllocator ?? (frames.isEmpty ? nil : 0)
  }

  /// The own frame itself. A stack that could not be named has its innermost address.
  package static func frame(of site: AllocationSite, roles: FrameRoles) -> Frame {
    if let index = index(in: site, roles: roles) { return site.frames[index] }
    return Frame(address: site.stack.addresses.first ?? 0, unresolved: .noSymbol)
  }

  /// A function's name without what it returns and takes: `shop::SessionStore::open`.
  package static func shortName(of function: String) -> String {
    var name = FunctionName(function).qualified
    // A mark of GCC's that is no part of the name.
    if let mark = name.firstRange(of: "[abi:") { name = name[..<mark.lowerBound] }
    return name.isEmpty ? function : String(name)
  }

  /// What makes two own frames the same place in the code, in whatever process of the same program.
  package struct Place: Hashable, Sendable {
    package var function: String?
    package var file: String?
    package var line: Int?
    /// The name of the object file, without its directory.
    package var module: String?
    /// Only where there is no function: then the offset in the module is all that is known.
    package var offset: UInt64?

    package init(_ frame: Frame) {
      function = frame.function
      file = frame.file
      line = frame.line
      module = frame.module?.split(separator: "/").last.map(String.init)
      if frame.function == nil { offset = frame.moduleOffset ?? frame.address }
    }
  }
}

extension AllocationSite {
  /// Whether its memory is the kernel's own.
  package var isOfKernel: Bool { kernel != nil || [.slab, .vmalloc, .percpu, .pages].contains(allocationClass) }
}
