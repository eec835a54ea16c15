/// A general-purpose x86-64 register. The numbers are those by which instructions encode it (rax = 0 … r15 = 15); the
/// attach cookie uses the same ones.
package enum ArgumentRegister: UInt8, Hashable, Sendable, CaseIterable {
  case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15

  /// The registers in which the System V ABI passes the integer arguments 0...5.
  package static let abi: [ArgumentRegister] = [.rdi, .rsi, .rdx, .rcx, .r8, .r9]
}

/// Tells which function argument each register holds, at some point of code that runs straight on from the function's
/// entry.
struct ArgumentLocations: Equatable {
  /// The index of the argument that each register holds, or -1.
  private var held: [Int8]

  /// The state at a function's first instruction.
  init() {
    held = [Int8](repeating: -1, count: ArgumentRegister.allCases.count)
    for (index, register) in ArgumentRegister.abi.enumerated() {
      held[Int(register.rawValue)] = Int8(index)
    }
  }

  mutating func clobber(_ register: ArgumentRegister) { held[Int(register.rawValue)] = -1 }

  mutating func copy(from source: ArgumentRegister, to destination: ArgumentRegister) {
    held[Int(destination.rawValue)] = held[Int(source.rawValue)]
  }

  /// The index of the argument that `register` holds unchanged, or nil.
  func argument(in register: ArgumentRegister) -> Int? {
    let index = held[Int(register.rawValue)]
    return index < 0 ? nil : Int(index)
  }

  /// A register that holds argument `index`, or nil. If the ABI's register still holds it, it is that one.
  func register(holding index: Int) -> ArgumentRegister? {
    guard ArgumentRegister.abi.indices.contains(index) else { return nil }
    let abi = ArgumentRegister.abi[index]
    if held[Int(abi.rawValue)] == index { return abi }
    return ArgumentRegister.allCases.first { held[Int($0.rawValue)] == index }
  }
}
