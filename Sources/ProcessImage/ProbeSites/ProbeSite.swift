/// Where in a function a uprobe goes, and where the arguments are at that point.
package struct ProbeSite: Hashable, Sendable {
  /// Bytes from the start of the function.
  package var offset: UInt64
  /// The instruction there, in Intel syntax.
  package var instruction: String
  /// Whether the kernel emulates the instruction instead of single-stepping a copy (some 10 times slower).
  package var isEmulated: Bool
  /// Registers of the needed arguments that are not in their ABI register at the site, by argument index.
  package var argumentRegisters: [Int: ArgumentRegister]
  /// Whether the stack pointer points at the return address there, as a return probe and a frame-less unwind step need.
  package var stackPointerIsAtReturnAddress: Bool
  /// Whether a null first argument never reaches the site.
  package var skipsNullPointer: Bool

  package init(
    offset: UInt64, instruction: String, isEmulated: Bool,
    argumentRegisters: [Int: ArgumentRegister] = [:], stackPointerIsAtReturnAddress: Bool = true,
    skipsNullPointer: Bool = false
  ) {
    self.offset = offset
    self.instruction = instruction
    self.isEmulated = isEmulated
    self.argumentRegisters = argumentRegisters
    self.stackPointerIsAtReturnAddress = stackPointerIsAtReturnAddress
    self.skipsNullPointer = skipsNullPointer
  }
}

/// What a probe must be able to do at its site.
package struct ProbeSiteRequirement: Hashable, Sendable {
  /// Indices (0...5) of the arguments that the probe reads.
  package var arguments: Set<Int>
  /// Whether the return is probed too: the kernel then replaces the word at the stack pointer, which must be the return address.
  package var needsReturn: Bool
  /// Whether a call whose first argument is null may go unseen, as `free(NULL)` may.
  package var ignoresNullPointer: Bool

  package init(arguments: Set<Int>, needsReturn: Bool, ignoresNullPointer: Bool = false) {
    self.arguments = arguments
    self.needsReturn = needsReturn
    self.ignoresNullPointer = ignoresNullPointer
  }
}
