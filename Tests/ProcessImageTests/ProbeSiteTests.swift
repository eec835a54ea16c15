import Testing

@testable import ProcessImage

/// One hand-made function per rule of the selection.
@Suite struct ProbeSiteTests {
  static let allocate = ProbeSiteRequirement(arguments: [0], needsReturn: true)
  static let free = ProbeSiteRequirement(
    arguments: [0], needsReturn: false, ignoresNullPointer: true)

  func site(
    _ code: [UInt8], _ requirement: ProbeSiteRequirement = allocate, whole: Bool = true,
    emulation: UprobeEmulation = .baseline
  ) -> ProbeSite {
    code.withUnsafeBytes {
      selectProbeSite(
        code: $0, address: 0x1000, requirement: requirement, codeIsWholeFunction: whole,
        emulation: emulation)
    }
  }

  @Test func pushAtTheEntryIsTheSite() {
    let site = site([0x41, 0x54, 0xc3])  // push r12; ret
    #expect(site == ProbeSite(offset: 0, instruction: "push r12", isEmulated: true))
  }

  @Test func landingPadIsPassed() {
    let site = site([0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x5d, 0xc3])  // endbr64; push rbp; pop rbp; ret
    #expect(site.offset == 4)
    #expect(site.isEmulated)
  }

  @Test func copiedArgumentIsReported() {
    // mov rbx, rdi; mov edi, 1; push rbp
    let site = site([0x48, 0x89, 0xfb, 0xbf, 1, 0, 0, 0, 0x55, 0xc3])
    #expect(site.offset == 8)
    #expect(site.argumentRegisters == [0: .rbx])
  }

  @Test func argumentInItsOwnRegisterIsNotReported() {
    let site = site([0x48, 0x89, 0xfb, 0x55, 0xc3])  // mov rbx, rdi; push rbp
    #expect(site.offset == 3)
    #expect(site.argumentRegisters.isEmpty)
  }

  @Test func swappedArgumentsAreFollowed() {
    // mov rax, rdi; mov rdi, rsi; mov rsi, rax; jmp +0x20
    let code: [UInt8] = [0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xc6, 0xeb, 0x20]
    let site = site(code, ProbeSiteRequirement(arguments: [0, 1], needsReturn: true))
    #expect(site.offset == 9)
    #expect(site.argumentRegisters == [0: .rax, 1: .rdi])
  }

  @Test func narrowCopyIsNoCopy() {
    // mov ebx, edi; xor edi, edi; push rbp: the upper half of the argument is gone
    let site = site([0x89, 0xfb, 0x31, 0xff, 0x55, 0xc3])
    #expect(site.offset == 0)
    #expect(!site.isEmulated)
  }

  @Test func implicitlyOverwrittenArgumentIsLost() {
    // mov rax, rsi; mul rdx; jo: mul overwrites rdx
    let code: [UInt8] = [0x48, 0x89, 0xf0, 0x48, 0xf7, 0xe2, 0x70, 0x01, 0xc3, 0xc3]
    let site = site(code, ProbeSiteRequirement(arguments: [0, 2], needsReturn: false))
    #expect(site.offset == 0)
    let other = self.site(code, ProbeSiteRequirement(arguments: [0, 1], needsReturn: false))
    #expect(other.offset == 6)
  }

  @Test func movedStackPointerForbidsAReturnProbe() {
    let code: [UInt8] = [0x48, 0x83, 0xec, 0x08, 0x74, 0x01, 0xc3, 0xc3]  // sub rsp, 8; je +1
    #expect(site(code).offset == 0)
    let entryOnly = site(code, ProbeSiteRequirement(arguments: [0], needsReturn: false))
    #expect(entryOnly.offset == 4)
    #expect(!entryOnly.stackPointerIsAtReturnAddress)
  }

  @Test func backwardJumpToTheSiteOrBeforeForbidsIt() {
    // test rdi, rdi; je end; dec rdi; jmp back to `test`
    let loop: [UInt8] = [0x48, 0x85, 0xff, 0x74, 0x05, 0x48, 0xff, 0xcf, 0xeb, 0xf6, 0xc3]
    #expect(site(loop).offset == 0)
    #expect(!site(loop).isEmulated)
    // The same with the jump back to just behind the site.
    var harmless = loop
    harmless[9] = 0xfb
    #expect(site(harmless).offset == 3)
  }

  @Test func farBackwardJumpIsFound() {
    // mov rax, rdi; je +0; 300 × nop; jmp back to the je
    var code: [UInt8] = [0x48, 0x89, 0xf8, 0x74, 0x00]
    code += [UInt8](repeating: 0x90, count: 300)
    let distance = Int32(3 - (code.count + 5))
    code.append(0xe9)
    withUnsafeBytes(of: distance.littleEndian) { code.append(contentsOf: $0) }
    #expect(site(code).offset == 0)
  }

  @Test func bytesThatOnlyLookLikeAJumpBackAreNone() {
    // mov rax, rdi; je +0; mov eax, 0xf6eb (whose bytes eb f6 would jump back); ret
    let code: [UInt8] = [0x48, 0x89, 0xf8, 0x74, 0x00, 0xb8, 0xeb, 0xf6, 0, 0, 0xc3]
    #expect(site(code).offset == 3)
  }

  @Test func recursionIsNoLoop() {
    // mov rax, rdi; je +5; call self; ret
    let code: [UInt8] = [0x48, 0x89, 0xf8, 0x74, 0x05, 0xe8, 0xf6, 0xff, 0xff, 0xff, 0xc3]
    #expect(site(code).offset == 3)
  }

  @Test func nullCheckOfFreeIsPassed() {
    // test rdi, rdi; je +2; push rbp; pop rbp; ret
    let code: [UInt8] = [0x48, 0x85, 0xff, 0x74, 0x02, 0x55, 0x5d, 0xc3]
    let passed = site(code, Self.free)
    #expect(passed.offset == 5)
    #expect(passed.skipsNullPointer)
    // Not for a function that must see null pointers.
    #expect(site(code, ProbeSiteRequirement(arguments: [0], needsReturn: false)).offset == 3)
  }

  @Test func otherChecksAreNotPassed() {
    // cmp rdi, 1; je; push / test rsi, rsi; je; push / test rdi, rdi; inc eax; je; push
    let codes: [(code: [UInt8], branch: UInt64)] = [
      ([0x48, 0x83, 0xff, 0x01, 0x74, 0x02, 0x55, 0x5d, 0xc3], 4),
      ([0x48, 0x85, 0xf6, 0x74, 0x02, 0x55, 0x5d, 0xc3], 3),
      ([0x48, 0x85, 0xff, 0xff, 0xc0, 0x74, 0x02, 0x55, 0x5d, 0xc3], 5),
      ([0x48, 0x85, 0xff, 0x75, 0x02, 0x55, 0x5d, 0xc3], 3),
    ]
    for (code, branch) in codes {
      #expect(site(code, Self.free).offset == branch)
      #expect(!site(code, Self.free).skipsNullPointer)
    }
  }

  @Test func nullCheckIsTheSiteWhenNothingFollows() {
    // test rdi, rdi; je +5; mov rax, [rdi]; inc eax; ret
    let code: [UInt8] = [0x48, 0x85, 0xff, 0x74, 0x05, 0x48, 0x8b, 0x07, 0xff, 0xc0, 0xc3]
    #expect(site(code, Self.free).offset == 3)
  }

  @Test func unknownInstructionEndsTheSearch() {
    #expect(site([0x0f, 0xa2, 0x55, 0xc3]).offset == 0)  // cpuid; push rbp
    #expect(site([0xff, 0xe0, 0x55, 0xc3]).offset == 0)  // jmp rax; push rbp
    #expect(site([0x06, 0x55, 0xc3]).offset == 0)  // no instruction in 64-bit mode
    #expect(site([0x06, 0x55, 0xc3]).instruction == "(bad)")
    #expect(site([]).offset == 0)
  }

  @Test func onlyAPushIsTrustedInCodeThatWasCut() {
    #expect(site([0x48, 0x89, 0xf8, 0x55, 0xc3], whole: false).offset == 3)
    #expect(site([0x48, 0x89, 0xf8, 0x74, 0x00, 0xc3], whole: false).offset == 0)
  }

  @Test func emulationFollowsTheKernel() {
    func execution(_ bytes: [UInt8], _ emulation: UprobeEmulation = .baseline) -> UprobeExecution {
      bytes.withUnsafeBytes { emulation.execution(of: $0) }
    }
    let emulated: [[UInt8]] = [
      [0x90], [0x66, 0x90], [0x50], [0x57], [0x41, 0x50], [0x41, 0x57], [0xeb, 0], [0x70, 0],
      [0x7f, 0], [0xe9, 0, 0, 0, 0], [0xe8, 0, 0, 0, 0], [0x0f, 0x80, 0, 0, 0, 0],
      [0x0f, 0x8f, 0, 0, 0, 0], [0xf2, 0xe9, 0, 0, 0, 0],
    ]
    for bytes in emulated { #expect(execution(bytes) == .emulated, "\(bytes)") }
    let stepped: [[UInt8]] = [
      [0xf3, 0x0f, 0x1e, 0xfa], [0x48, 0x85, 0xff], [0x48, 0x83, 0xec, 8], [0xc3], [0x58],
      [0x66, 0x50], [0x48, 0x50], [0x6a, 0], [0xff, 0xe0], [0xe3, 0], [0x0f, 0x1f, 0x00],
      [0xf3, 0x90],
    ]
    for bytes in stepped { #expect(execution(bytes) == .singleStepped, "\(bytes)") }
    let refused: [[UInt8]] = [
      [0x66, 0xe9, 0, 0], [0x66, 0x0f, 0x84, 0, 0], [0xf0, 0x48, 0x0f, 0xb1, 0x0f], [0xf4],
      [0x0f, 0x05], [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], [0x49, 0x90],
    ]
    for bytes in refused { #expect(execution(bytes) == .refused, "\(bytes)") }
    let new = UprobeEmulation(kernelMajor: 6, minor: 18)
    #expect(execution([0x0f, 0x1f, 0x40, 0x00], new) == .emulated)
    #expect(execution([0x0f, 0x1f, 0x45, 0x00], new) == .singleStepped)
    for nop: [UInt8] in [[0x0f, 0x1f, 0x44, 0x00, 0x00], [0x66, 0x0f, 0x1f, 0x40, 0x00]] {
      #expect(execution(nop, new) == .refused)
      #expect(execution(nop) == .singleStepped)
    }
    #expect(
      execution([0x0f, 0x1f, 0x00], UprobeEmulation(kernelMajor: 6, minor: 17)) == .singleStepped)
  }

  /// Linux 6.18 makes a call of such a NOP, whose destination a forked child does not have.
  @Test func nopThatBecomesACallIsNoSite() {
    let emulation = UprobeEmulation(emulatesLongNops: true)
    let nop: [UInt8] = [0x0f, 0x1f, 0x44, 0x00, 0x00]
    // mov eax, edi; push rbp
    #expect(site([0x89, 0xf8] + nop + [0x55, 0xc3], emulation: emulation).offset == 7)
    #expect(site(nop + [0x55, 0xc3], emulation: emulation).offset == 5)
    // Nothing that is emulated: what follows the NOP is single-stepped.
    #expect(site(nop + [0x89, 0xf8, 0xc3], emulation: emulation).offset == 5)
    #expect(site(nop + [0x89, 0xf8, 0xc3]).offset == 0)
    let entry = (nop + [0xc3]).withUnsafeBytes { selectEntrySite(code: $0, address: 0, emulation: emulation) }
    #expect(entry?.offset == 5)
  }

  @Test func exitsAreFound() {
    func exits(_ code: [UInt8]) -> FunctionExits {
      code.withUnsafeBytes { findFunctionExits(code: $0, address: 0x1000) }
    }
    #expect(exits([0x74, 0x01, 0xc3, 0xc3]).returnOffsets == [2, 3])
    #expect(exits([0x74, 0x01, 0xc3, 0xc3]).returnsAreAllKnown)
    #expect(exits([0x74, 0x10, 0xc3]).leavesByJump)
    #expect(!exits([0xff, 0xe0, 0xc3]).isComplete)
    #expect(!exits([0x06, 0xc3]).isComplete)
    #expect(!exits([0x0f, 0x0b]).returnsAreAllKnown)
  }

  /// Hostile code must not crash or hang the search.
  @Test func randomCodeIsSafe() {
    var seed: UInt64 = 42
    for _ in 0..<3000 {
      var code: [UInt8] = []
      for _ in 0..<Int(seed >> 60) * 4 + 1 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        code.append(UInt8(truncatingIfNeeded: seed >> 33))
      }
      let site = site(code, Self.free)
      #expect(site.offset < UInt64(code.count))
    }
  }
}
