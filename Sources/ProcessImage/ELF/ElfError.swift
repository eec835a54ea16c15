import SystemSupport

/// Why a file cannot be used as an ELF object of this machine's processor.
package enum ElfError: UserFacingError, Equatable {
  /// The file could not be opened, examined or mapped.
  case unreadable(name: String, operation: String, code: Int32)
  /// The file is not a regular one, so that mapping it would be unsafe or meaningless.
  case notRegularFile(name: String)
  /// The file does not begin with the ELF magic number.
  case notELF(name: String)
  /// The file is shorter than an ELF header.
  case truncated(name: String, size: Int)
  /// The file is a 32-bit object; leaktrace reads 64-bit ones only.
  case not64Bit(name: String)
  /// The file is a big-endian object.
  case notLittleEndian(name: String)
  /// The file is an object for another processor. `machine` is ELF's `e_machine`.
  case foreignMachine(name: String, machine: UInt16)
  /// The place or the size of a table contradicts the file.
  case malformed(name: String, what: String)

  package var description: String {
    switch self {
    case .unreadable(let name, let operation, let code):
      "\(name): \(operation): \(errorMessage(code))"
    case .notRegularFile(let name): "\(name): not a regular file"
    case .notELF(let name): "\(name): not an ELF file"
    case .truncated(let name, let size): "\(name): \(size) bytes are too few for an ELF header"
    case .not64Bit(let name): "\(name): a 32-bit ELF file; only 64-bit ones are supported"
    case .notLittleEndian(let name): "\(name): a big-endian ELF file"
    case .foreignMachine(let name, let machine):
      "\(name): an ELF file for another processor (machine \(machine); x86-64 is 62)"
    case .malformed(let name, let what): "\(name): malformed ELF file: \(what)"
    }
  }
}
