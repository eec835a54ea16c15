import Testing

@testable import ProcessImage

@Suite struct EntryCodeTests {
  static let address: UInt64 = 0x40_1000

  private func entry(_ bytes: [UInt8]) throws -> EntryCode {
    try bytes.withUnsafeBytes { try EntryCode(code: $0, address: Self.address) }
  }

  private func reason(_ bytes: [UInt8]) -> String? {
    do {
      _ = try entry(bytes)
      return nil
    } catch { return "\(error)" }
  }

  /// push r12; push rbp; push rbx; mov rbx, rdi; sub rsp, 16
  @Test func pushIsUndone() throws {
    let entry = try entry([0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x10])
    #expect(entry.firstLength == 2)
    #expect(entry.pushed == .r12)
    #expect(entry.length == 7)
    #expect(!entry.endsInJump)
    #expect(
      entry.pieces == [.anywhere([0x41, 0x54]), .anywhere([0x55]), .anywhere([0x53]), .anywhere([0x48, 0x89, 0xfb])])
    #expect(entry.forbidden == 2..<7)
  }

  /// test rdi, rdi; je +0xc0
  @Test func jumpIsMoved() throws {
    let entry = try entry([0x48, 0x85, 0xff, 0x0f, 0x84, 0xc0, 0, 0, 0, 0x55])
    #expect(entry.pushed == nil)
    #expect(entry.length == 9)
    #expect(entry.pieces.last == .conditionalJump(condition: 4, to: Self.address + 9 + 0xc0))
  }

  /// cmp byte [rip+0x100], 0; je +7; jmp +0x200
  @Test func operandsAndShortJumpsAreMoved() throws {
    let entry = try entry([0x80, 0x3d, 0, 1, 0, 0, 0, 0x74, 7, 0xe9, 0, 2, 0, 0, 0x90])
    #expect(entry.length == 14)
    #expect(entry.endsInJump)
    #expect(
      entry.pieces == [
        .relative([0x80, 0x3d, 0, 1, 0, 0, 0], offset: 2, target: Self.address + 7 + 0x100),
        .conditionalJump(condition: 4, to: Self.address + 16), .jump(to: Self.address + 14 + 0x200),
      ])
  }

  @Test func whatCannotBeUndoneOrMovedIsRefused() {
    // sub rsp, 8: nothing is known of what is below.
    #expect(reason([0x48, 0x83, 0xec, 8, 0x55, 0x53, 0x48, 0x89, 0xfb]) == "its first instruction cannot be undone")
    // mov rdi, rsi changes an argument.
    #expect(reason([0x48, 0x89, 0xf7, 0x55, 0x53, 0x48, 0x89, 0xfb]) == "its first instruction cannot be undone")
    // jmp
    #expect(reason([0xe9, 0, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90]) == "its first instruction cannot be undone")
    // push rbp; call
    #expect(reason([0x55, 0xe8, 0, 0, 0, 0, 0x90]) == "a call or return in its first instructions")
    // push rbp; jmp +0
    #expect(reason([0x55, 0xeb, 0, 0x90, 0x90, 0x90, 0x90]) == "too short for a jump")
    // push rbp; jmp rax
    #expect(reason([0x55, 0xff, 0xe0, 0x90, 0x90, 0x90, 0x90]) == "a computed jump in its first instructions")
    // push rbp; jrcxz
    #expect(reason([0x55, 0xe3, 0, 0x90, 0x90, 0x90, 0x90]) == "a jump that cannot be moved in its first instructions")
    // push rbp and four NOPs, then a jump back behind the first instruction.
    #expect(
      reason([0x55, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xfb]) == "it jumps back into its first instructions")
    #expect(reason([0x55]) == "unknown instruction")
    #expect(reason([]) == "unknown instruction")
  }

  /// Hostile code must not crash or hang.
  @Test func randomCodeIsSafe() {
    var seed: UInt64 = 1
    var accepted = 0
    for _ in 0..<5000 {
      var code: [UInt8] = []
      for _ in 0..<Int(seed >> 59) + 1 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        code.append(UInt8(truncatingIfNeeded: seed >> 33))
      }
      guard let entry = try? entry(code) else { continue }
      accepted += 1
      #expect(entry.length <= code.count && entry.length >= entry.firstLength + EntryCode.jumpLength)
    }
    #expect(accepted > 10)
  }

  @Test func jumpsIntoRangesAreFound() {
    // At 0x1000: call 0x1010; at 0x1005: je 0x1020; at 0x100b: jmp -> 0x1030
    let code: [UInt8] =
      [0xe8, 0x0b, 0, 0, 0, 0x0f, 0x84, 0x15, 0, 0, 0, 0xeb, 0x23] + [UInt8](repeating: 0x90, count: 16)
    let ranges: [Range<UInt64>] = [0x1011..<0x1014, 0x1020..<0x1021, 0x1030..<0x1034, 0x1040..<0x1050]
    let found = code.withUnsafeBytes { rangesJumpedInto(code: $0, address: 0x1000, ranges: ranges) }
    #expect(found == [1, 2])
  }
}
