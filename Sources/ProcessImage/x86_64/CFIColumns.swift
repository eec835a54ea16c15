/// The registers that the walker follows, by DWARF's numbers of x86-64.
extension CFIState {
  static let framePointerColumn: UInt64 = 6
  static let stackPointerColumn: UInt64 = 7
  static let returnAddressColumn: UInt64 = 16
}

/// What the kernel puts on the stack for a signal handler: `struct rt_sigframe`, without its return address.
enum SignalFrame {
  /// From its start to the registers that the handler interrupted, of which the frame pointer is the first.
  static let registers: Int64 = 120
  /// From the frame pointer's place to those of others, in the order of `struct sigcontext`.
  static let stackPointer: Int64 = 40
  static let programCounter: Int64 = 48
}
