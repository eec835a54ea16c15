/// One named entry of a stack, leaf first; inlined callees come before the function they were inlined into.
package struct Frame: Hashable, Codable, Sendable {
  /// The address in the process as the unwinder found it: the program counter for the leaf, return addresses above it.
  package var address: UInt64
  /// Demangled name, or nil when unresolved.
  package var function: String?
  /// The name that the linker knows, where it differs from `function`.
  package var linkageName: String?
  /// Bytes from the start of `function` to `address`.
  package var functionOffset: UInt64?
  /// Path of the object that holds the address, or an area name such as `[vdso]`.
  package var module: String?
  /// The address as the module's own ELF virtual address (address minus load bias).
  package var moduleOffset: UInt64?
  /// GNU build id of the module, lower-case hexadecimal.
  package var buildID: String?
  package var file: String?
  package var line: Int?
  /// Whether this function was inlined into the next frame.
  package var isInlined: Bool
  /// Why there is no function name; nil when there is one.
  package var unresolved: UnresolvedReason?

  package init(
    address: UInt64, function: String? = nil, functionOffset: UInt64? = nil,
    module: String? = nil, moduleOffset: UInt64? = nil, buildID: String? = nil,
    file: String? = nil, line: Int? = nil, isInlined: Bool = false,
    unresolved: UnresolvedReason? = nil
  ) {
    self.address = address
    self.function = function
    self.functionOffset = functionOffset
    self.module = module
    self.moduleOffset = moduleOffset
    self.buildID = buildID
    self.file = file
    self.line = line
    self.isInlined = isInlined
    self.unresolved = unresolved
  }
}

/// Why a frame has no function name. Unresolved addresses are data: they keep module and offset.
package enum UnresolvedReason: String, Hashable, Codable, Sendable, CaseIterable {
  /// No mapping of the process covered the address when it was recorded.
  case unmapped = "unmapped"
  /// Anonymous executable memory with no perf map: code made at run time.
  case generatedCode = "generated code"
  /// The object has neither a symbol table nor a dynamic symbol that covers the address.
  case noSymbol = "no symbol"
  /// The object could not be opened or is not a valid ELF file.
  case unreadableModule = "unreadable module"
  /// The process ended before its mappings were recorded.
  case processGone = "process gone"
}
