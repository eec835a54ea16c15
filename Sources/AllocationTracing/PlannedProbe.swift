import CTraceABI
import ProcessImage

/// One place to be probed in one object file, with everything the programs need to know about it.
package struct PlannedProbe: Sendable {
  /// What the function does with memory; its raw value goes into the attach cookie.
  package enum Action: UInt32, Sendable {
    case allocate = 1
    case allocateCounted = 2
    case reallocate = 3
    case reallocateCounted = 4
    case allocateToPointer = 5
    case free = 6
  }

  package var function: String
  /// The object's path as its process sees it.
  package var object: String
  /// Device and inode of the object, which name it whatever its path.
  package var identity: String
  /// A path by which the kernel finds the same file from here.
  package var openPath: String
  /// Offset in the file of the function's first byte.
  package var functionFileOffset: UInt64
  package var site: ProbeSite
  package var action: Action
  /// Registers at the probed instruction of the arguments that the action reads, in the order of the cookie.
  package var registers: [ArgumentRegister]
  package var mayNest: Bool

  package init(
    function: String, object: String, identity: String, openPath: String, functionFileOffset: UInt64,
    site: ProbeSite, action: Action, registers: [ArgumentRegister], mayNest: Bool
  ) {
    self.function = function
    self.object = object
    self.identity = identity
    self.openPath = openPath
    self.functionFileOffset = functionFileOffset
    self.site = site
    self.action = action
    self.registers = registers
    self.mayNest = mayNest
  }

  /// The word that the programs get when this place is hit in the process of `slot`.
  func cookie(index: UInt32, slot: UInt32) -> UInt64 {
    var word = UInt64(action.rawValue)
    if mayNest { word |= UInt64(LT_COOKIE_MAY_NEST) << UInt64(LT_COOKIE_FLAGS_SHIFT) }
    for (position, register) in registers.enumerated() {
      word |= UInt64(register.rawValue) << UInt64(Int(LT_COOKIE_REGISTERS_SHIFT) + 4 * position)
    }
    word |= UInt64(index) << UInt64(LT_COOKIE_PROBE_SHIFT)
    word |= UInt64(slot) << UInt64(LT_COOKIE_SLOT_SHIFT)
    return word
  }
}
