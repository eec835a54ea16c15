/// The registers that the stack walker follows, as DWARF numbers them on x86-64.
extension CFIState {
  static let framePointerColumn: UInt64 = 6
  static let stackPointerColumn: UInt64 = 7
  static let returnAddressColumn: UInt64 = 16
}

/// The part of the stack that the kernel writes for a signal handler: `struct rt_sigframe`, without its return address.
/// All offsets are in bytes.
enum SignalFrame {
  /// The distance from its start to the saved registers of the code that the handler interrupted. The frame pointer is
  /// counted as the first of them.
  static let registers: Int64 = 120
  /// The distance from the place of the frame pointer to the places of the others, in the order of `struct sigcontext`.
  static let stackPointer: Int64 = 40
  static let programCounter: Int64 = 48
}
