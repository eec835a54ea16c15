/// Where in a function a uprobe is placed, and where the function's arguments are at that point.
package struct ProbeSite: Hashable, Sendable {
  /// Distance from the start of the function, in bytes.
  package var offset: UInt64
  /// The instruction at that place, in Intel syntax.
  package var instruction: String
  /// Whether the kernel emulates the instruction, instead of single-stepping a copy of it, which is some 10 times
  /// slower.
  package var isEmulated: Bool
  /// The registers of those needed arguments that are not in the register of the ABI at this point, by argument index.
  package var argumentRegisters: [Int: ArgumentRegister]
  /// Whether the stack pointer points at the return address at this point. A return probe needs that, and so does an
  /// unwind step without a frame.
  package var stackPointerIsAtReturnAddress: Bool
  /// Whether calls whose first argument is null never reach the site.
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

/// What a probe needs from the place where it is put.
package struct ProbeSiteRequirement: Hashable, Sendable {
  /// The indices (0...5) of the arguments that the probe reads.
  package var arguments: Set<Int>
  /// Whether the return is probed too. The kernel then replaces the word at the stack pointer, which therefore has to
  /// be the return address.
  package var needsReturn: Bool
  /// Whether the probe may miss calls whose first argument is null, as is harmless for `free(NULL)`.
  package var ignoresNullPointer: Bool

  package init(arguments: Set<Int>, needsReturn: Bool, ignoresNullPointer: Bool = false) {
    self.arguments = arguments
    self.needsReturn = needsReturn
    self.ignoresNullPointer = ignoresNullPointer
  }
}
