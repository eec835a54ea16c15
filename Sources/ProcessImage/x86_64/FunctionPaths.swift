import CCapstone

/// The place to which a call or a jump leads.
package enum BranchDestination: Hashable, Sendable {
  case address(UInt64)
  /// The place whose address is in the word at this address, as in `call [rip+x]`.
  case slot(UInt64)
}

/// The ways out of a function that are acceptable although they do not pass through one of the functions asked about.
package struct HarmlessExits: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  /// `return 0`, as after an allocation that failed.
  package static let zero = HarmlessExits(rawValue: 1)
  /// `return` of a constant other than 0, as with an error number.
  package static let nonzeroConstant = HarmlessExits(rawValue: 2)
  /// The branch that is taken when the first argument is null.
  package static let nullArgument = HarmlessExits(rawValue: 4)
  /// A conditional jump out of the function, to code that the compiler has split off because it throws.
  package static let conditionalJumpOut = HarmlessExits(rawValue: 8)
}

/// Whether every path through a function calls or jumps to one of the functions for which `isTarget` is true, except
/// for paths that leave by a harmless exit. At least one path has to reach such a function.
///
/// False whenever this cannot be proven: because of bytes that cannot be decoded, computed jumps, or more code or paths
/// than the limits allow.
package func allPathsReach(
  code: UnsafeRawBufferPointer, address: UInt64, harmless: HarmlessExits,
  isTarget: (BranchDestination) -> Bool
) -> Bool {
  guard code.count <= 1024, let decoder = InstructionDecoder() else { return false }
  var pending = [PathState(offset: 0)]
  var visited: Set<PathState> = []
  var reachesTarget = false
  while var state = pending.popLast() {
    path: while visited.insert(state).inserted {
      guard visited.count < 1000,
        let instruction = decoder.decode(code, at: state.offset, address: address)
      else { return false }
      let next = state.offset + instruction.length
      let destination = instruction.destination(next: address &+ UInt64(next))
      if let destination, instruction.isCall || instruction.isJump, isTarget(destination) {
        reachesTarget = true
        break path
      }
      if instruction.isTrap { break path }
      if instruction.isReturn {
        switch state.result {
        case .zero where harmless.contains(.zero): break path
        case .nonzero where harmless.contains(.nonzeroConstant): break path
        default: return false
        }
      }
      if instruction.isConditionalJump || instruction.isJump {
        let inside: Int?
        if case .address(let target)? = destination, target >= address,
          target < address + UInt64(code.count)
        {
          inside = Int(target - address)
        } else {
          inside = nil
        }
        if instruction.isJump {
          guard let inside else { return false }
          state.offset = inside
          continue path
        }
        let leavesOnNull =
          harmless.contains(.nullArgument) && state.testsNull && instruction.isJumpIfEqual
        if !leavesOnNull {
          if let inside {
            pending.append(PathState(offset: inside, result: state.result))
          } else if !harmless.contains(.conditionalJumpOut) {
            return false
          }
        }
      }
      state.follow(instruction)
      state.offset = next
    }
  }
  return reachesTarget
}

/// A point on a path: the place in the code, and what is known of the value that will be returned.
private struct PathState: Hashable {
  enum Result: Hashable { case unknown, zero, nonzero }
  var offset: Int
  var result = Result.unknown
  /// Whether the instruction just before was `test rdi, rdi`.
  var testsNull = false

  mutating func follow(_ instruction: DecodedInstruction) {
    let operands = instruction.operands
    testsNull =
      instruction.identifier == X86_INS_TEST.rawValue
      && operands == [.register(.rdi, isFull: true), .register(.rdi, isFull: true)]
    if instruction.isCall {
      result = .unknown
      return
    }
    guard instruction.writtenRegisters.contains(.rax) else { return }
    result = .unknown
    guard operands.count == 2, case .register(.rax, _) = operands[0] else { return }
    if instruction.identifier == X86_INS_XOR.rawValue, operands[0] == operands[1] {
      result = .zero
    } else if instruction.identifier == X86_INS_MOV.rawValue,
      case .immediate(let value) = operands[1]
    {
      result = value == 0 ? .zero : .nonzero
    }
  }
}

extension DecodedInstruction {
  /// The place to which a call or jump leads. nil for a computed one, and for every other instruction.
  func destination(next: UInt64) -> BranchDestination? {
    if let target = branchTarget { return .address(target) }
    guard isCall || isJump, case .ripRelative(let displacement)? = operands.first else {
      return nil
    }
    return .slot(next &+ UInt64(bitPattern: displacement))
  }
}
