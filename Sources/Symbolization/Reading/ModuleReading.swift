/// What reads the symbols and the debug information of one object file.
protocol ModuleReading: AnyObject {
  /// The functions that the instruction at a virtual address belongs to, innermost first and the physical one last; empty when
  /// nothing is known about the address, nil when it could not be looked up now.
  func functions(at address: UInt64) -> [Module.Function]?

  /// The variable that covers a virtual address. Of several names, the one that the program exports.
  func variable(at address: UInt64) -> Module.Variable?

  /// Gives the memory of what has been read back; it is read again when it is needed.
  func forget()

  /// Gives pages of the file back.
  func releasePages()
}
