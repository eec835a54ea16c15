import CCapstone

/// Chooses the cheapest place for a uprobe in a function at which it is still correct.
///
/// The site is the first instruction that the kernel emulates, that every call passes exactly once, and at which the
/// needed arguments are still in known registers. Between the entry and the site, the code must run straight on. The
/// only branch that may lie in between is the null check of a function that may ignore null pointers (`free`); the `je`
/// of that check is itself the site if nothing better follows soon after. Computed jumps are assumed not to lead back
/// to the entry block, because no compiler makes it the target of a switch.
///
/// - Parameters:
///   - code: the bytes of the function: all of them if its size is known, and otherwise up to 256.
///   - address: the virtual address of `code`. Only the text of branches depends on it.
///   - codeIsWholeFunction: false when `code` was cut off. Then only of a `push` can it be proven that no loop passes
///     it.
///   - emulation: which instructions the running kernel emulates.
/// - Returns: the site, or the entry if no other site could be proven correct.
package func selectProbeSite(
  code: UnsafeRawBufferPointer, address: UInt64, requirement: ProbeSiteRequirement,
  codeIsWholeFunction: Bool = true, emulation: UprobeEmulation = .baseline
) -> ProbeSite {
  guard let decoder = InstructionDecoder() else {
    return ProbeSite(offset: 0, instruction: "(bad)", isEmulated: false)
  }
  let search = ProbeSiteSearch(
    code: code, address: address, requirement: requirement,
    codeIsWholeFunction: codeIsWholeFunction, emulation: emulation)
  // A NOP that must not be probed is passed over: behind it all is as at the entry.
  let first = emulation.endsForkedChildren(probedAt: code) ? 5 : 0
  var site =
    search.run(decoder) ?? ProbeSite(offset: UInt64(first), instruction: "", isEmulated: false)
  site.instruction = decoder.text(of: code, at: Int(site.offset), address: address)
  return site
}

private struct ProbeSiteSearch {
  let code: UnsafeRawBufferPointer
  let address: UInt64
  let requirement: ProbeSiteRequirement
  let codeIsWholeFunction: Bool
  let emulation: UprobeEmulation

  /// The largest distance from the entry to a site, in bytes.
  static let reach = 128
  /// How far past a null check, in bytes, a better site is looked for. There, calls with a null pointer do not cost a
  /// trap.
  static let reachPastNullCheck = 16

  func run(_ decoder: borrowing InstructionDecoder) -> ProbeSite? {
    var state = EntryState()
    var nullCheckSite: ProbeSite?
    var offset = 0
    var end = min(Self.reach, code.count)
    while offset < end, let instruction = decoder.decode(code, at: offset, address: address) {
      let bytes = UnsafeRawBufferPointer(rebasing: code[offset..<offset + instruction.length])
      if emulation.execution(of: bytes) == .emulated {
        guard
          let site = candidate(at: instruction, state: state, skipsNull: nullCheckSite != nil),
          isCrossedOnce(site, bytes: bytes, decoder)
        else { return nullCheckSite }
        guard requirement.ignoresNullPointer, nullCheckSite == nil, state.flagsTellNullArgument,
          instruction.isJumpIfEqual
        else { return site }
        nullCheckSite = site
        end = min(offset + instruction.length + Self.reachPastNullCheck, code.count)
      } else if !state.apply(instruction) {
        return nullCheckSite
      }
      offset += instruction.length
    }
    return nullCheckSite
  }

  /// Makes a site of an emulated instruction, if its arguments and its stack pointer allow that.
  private func candidate(
    at instruction: DecodedInstruction, state: EntryState, skipsNull: Bool
  ) -> ProbeSite? {
    if requirement.needsReturn, state.stackPointerOffset != 0 { return nil }
    var moved: [Int: ArgumentRegister] = [:]
    for index in requirement.arguments {
      guard let register = state.arguments.register(holding: index) else { return nil }
      if register != ArgumentRegister.abi[index] { moved[index] = register }
    }
    return ProbeSite(
      offset: UInt64(instruction.offset), instruction: "", isEmulated: true,
      argumentRegisters: moved, stackPointerIsAtReturnAddress: state.stackPointerOffset == 0,
      skipsNullPointer: skipsNull)
  }

  /// Whether no branch in the function leads back to the site or to code before it.
  private func isCrossedOnce(
    _ site: ProbeSite, bytes: UnsafeRawBufferPointer, _ decoder: borrowing InstructionDecoder
  ) -> Bool {
    let last = Int(site.offset)
    // If the site is the entry, it cannot be worse than the fallback, because that is the entry, too.
    if last == 0 { return true }
    if !codeIsWholeFunction {
      // A loop cannot contain a lone push, because it would use up the stack. Any other instruction could be the head
      // of a loop whose jump back lies in the part that was cut off.
      guard (0x50...0x57).contains(bytes[bytes.count - 1]), bytes.count <= 2 else { return false }
    }
    let possible = lastPossibleBranch(intoFirst: last)
    guard let possible else { return true }
    return !hasBranch(intoFirst: last, upTo: possible, decoder)
  }

  /// The last position at which the bytes, read as a branch at any alignment, would lead to 0...`last`. nil proves that
  /// there is no such branch, without decoding the function.
  private func lastPossibleBranch(intoFirst last: Int) -> Int? {
    var found: Int?
    forEachPossibleBranch(in: code) { position, destination in
      if destination >= 0, destination <= last { found = position }
    }
    return found
  }

  /// Decodes the function from its entry, and tells whether a branch leads to 0...`last`. A recursive call does not
  /// count. Returns true also when bytes that are not an instruction come before `end`, because then nothing is proven.
  private func hasBranch(
    intoFirst last: Int, upTo end: Int, _ decoder: borrowing InstructionDecoder
  ) -> Bool {
    var offset = 0
    while offset <= end {
      guard let instruction = decoder.decode(code, at: offset, address: address) else {
        return true
      }
      if let target = instruction.branchTarget {
        let distance = Int64(bitPattern: target &- address)
        let first: Int64 = instruction.identifier == X86_INS_CALL.rawValue ? 1 : 0
        if distance >= first, distance <= Int64(last) { return true }
      }
      offset += instruction.length
    }
    return false
  }
}

/// What is known of the registers and the stack at some point of the entry block.
private struct EntryState {
  var arguments = ArgumentLocations()
  /// The value of rsp relative to the one at the entry, in bytes.
  var stackPointerOffset: Int64 = 0
  /// Whether the zero flag is set exactly if the first argument is null.
  var flagsTellNullArgument = false

  /// Applies the effects of `instruction`. Returns false when these are not known well enough to go on.
  mutating func apply(_ instruction: DecodedInstruction) -> Bool {
    let identifier = instruction.identifier
    switch identifier {
    case X86_INS_ENDBR64.rawValue, X86_INS_NOP.rawValue: return true
    case X86_INS_TEST.rawValue, X86_INS_CMP.rawValue, X86_INS_BT.rawValue:
      flagsTellNullArgument = testsNull(instruction)
      return true
    case X86_INS_MOV.rawValue, X86_INS_MOVABS.rawValue, X86_INS_LEA.rawValue,
      X86_INS_MOVZX.rawValue, X86_INS_MOVSX.rawValue, X86_INS_MOVSXD.rawValue:
      break
    default:
      guard EntryState.arithmetic.contains(identifier) else { return false }
      flagsTellNullArgument = false
    }
    var written = instruction.writtenRegisters
    // In Intel syntax the destination comes first. It is added here in case the decoder's list of written registers is
    // incomplete.
    if case .register(let destination, _)? = instruction.operands.first {
      written.append(destination)
    }
    if written.contains(.rsp) {
      guard moveStackPointer(instruction) else { return false }
    }
    if identifier == X86_INS_MOV.rawValue, instruction.operands.count == 2,
      case .register(let destination, isFull: true) = instruction.operands[0],
      case .register(let source, isFull: true) = instruction.operands[1]
    {
      arguments.copy(from: source, to: destination)
      return true
    }
    for register in written where register != .rsp { arguments.clobber(register) }
    return true
  }

  private mutating func moveStackPointer(_ instruction: DecodedInstruction) -> Bool {
    guard instruction.operands.count == 2,
      case .register(.rsp, isFull: true) = instruction.operands[0],
      case .immediate(let amount) = instruction.operands[1]
    else { return false }
    switch instruction.identifier {
    case X86_INS_SUB.rawValue: stackPointerOffset &-= amount
    case X86_INS_ADD.rawValue: stackPointerOffset &+= amount
    default: return false
    }
    return true
  }

  /// Whether the instruction is `test r, r` or `cmp r, 0` on a register that holds the first argument.
  private func testsNull(_ instruction: DecodedInstruction) -> Bool {
    guard instruction.operands.count == 2,
      case .register(let register, isFull: true) = instruction.operands[0],
      arguments.argument(in: register) == 0
    else { return false }
    switch instruction.identifier {
    case X86_INS_TEST.rawValue: return instruction.operands[0] == instruction.operands[1]
    case X86_INS_CMP.rawValue: return instruction.operands[1] == .immediate(0)
    default: return false
    }
  }

  /// Instructions that change nothing but their first operand, the registers that Capstone lists, and flags.
  private static let arithmetic: Set<UInt32> = Set(
    [
      X86_INS_ADD, X86_INS_SUB, X86_INS_AND, X86_INS_OR, X86_INS_XOR, X86_INS_NOT, X86_INS_NEG,
      X86_INS_INC, X86_INS_DEC, X86_INS_SHL, X86_INS_SHR, X86_INS_SAR, X86_INS_SAL, X86_INS_ROL,
      X86_INS_ROR, X86_INS_IMUL, X86_INS_MUL, X86_INS_ADC, X86_INS_SBB, X86_INS_BSR, X86_INS_BSF,
      X86_INS_SETA, X86_INS_SETAE, X86_INS_SETB, X86_INS_SETBE, X86_INS_SETE, X86_INS_SETNE,
      X86_INS_SETG, X86_INS_SETGE, X86_INS_SETL, X86_INS_SETLE, X86_INS_SETO, X86_INS_SETNO,
      X86_INS_SETS, X86_INS_SETNS, X86_INS_CMOVA, X86_INS_CMOVAE, X86_INS_CMOVB, X86_INS_CMOVBE,
      X86_INS_CMOVE, X86_INS_CMOVNE, X86_INS_CMOVG, X86_INS_CMOVGE, X86_INS_CMOVL, X86_INS_CMOVLE,
      X86_INS_CMOVS, X86_INS_CMOVNS, X86_INS_CDQE, X86_INS_CWDE, X86_INS_LZCNT, X86_INS_TZCNT,
    ].map(\.rawValue))
}
