import Testing

@testable import ProcessImage

@Suite struct FunctionPathsTests {
  /// Address that counts as a probed function.
  static let target: UInt64 = 0x5000

  func reaches(_ code: [UInt8], _ harmless: HarmlessExits = []) -> Bool {
    code.withUnsafeBytes {
      allPathsReach(code: $0, address: 0x1000, harmless: harmless) {
        $0 == .address(Self.target) || $0 == .slot(0x6000)
      }
    }
  }

  /// `call` or `jmp` at `offset` to the target.
  func branch(_ opcode: UInt8, at offset: Int) -> [UInt8] {
    let distance = Int32(Self.target) - Int32(0x1000 + offset + 5)
    return [opcode] + withUnsafeBytes(of: distance.littleEndian) { Array($0) }
  }

  @Test func tailJump() {
    #expect(reaches(branch(0xe9, at: 0)))
    #expect(reaches([0xf3, 0x0f, 0x1e, 0xfa] + branch(0xe9, at: 4)))
    #expect(!reaches([0xe9, 0, 0x20, 0, 0]))
    #expect(!reaches([0xc3]))
  }

  @Test func callThroughTheGlobalOffsetTable() {
    let distance = Int32(0x6000 - (0x1000 + 6))
    let bytes = withUnsafeBytes(of: distance.littleEndian) { Array($0) }
    #expect(reaches([0xff, 0x15] + bytes + [0xc3]))
    #expect(!reaches([0xff, 0x15, 0, 0, 0, 0, 0xc3]))
  }

  @Test func oneInlinePathIsEnoughToKeepIt() {
    // je +5; call target; ret
    #expect(!reaches([0x74, 0x05] + branch(0xe8, at: 2) + [0xc3]))
    // je +6; call target; ret; xor eax, eax; ret
    let code = [0x74, 0x06] + branch(0xe8, at: 2) + [0xc3, 0x31, 0xc0, 0xc3]
    #expect(!reaches(code))
    #expect(reaches(code, .zero))
    #expect(!reaches(code, .nonzeroConstant))
  }

  @Test func errorNumberIsHarmlessWhereItMeansFailure() {
    // je +6; call target; ret; mov eax, 22; ret
    let code = [0x74, 0x06] + branch(0xe8, at: 2) + [0xc3, 0xb8, 22, 0, 0, 0, 0xc3]
    #expect(reaches(code, .nonzeroConstant))
    #expect(!reaches(code, .zero))
  }

  @Test func nullArgument() {
    // test rdi, rdi; je +5; jmp target; ret
    let code = [0x48, 0x85, 0xff, 0x74, 0x05] + branch(0xe9, at: 5) + [0xc3]
    #expect(reaches(code, .nullArgument))
    #expect(!reaches(code))
  }

  @Test func unprovenIsNo() {
    #expect(!reaches([0xff, 0xe0]))  // jmp rax
    #expect(!reaches([0x06]))
    #expect(!reaches([]))
    #expect(!reaches([0xeb, 0xfe]))  // an endless loop reaches nothing
    #expect(!reaches([0x0f, 0x84, 0, 1, 0, 0] + branch(0xe9, at: 6)))  // je out of the function
    #expect(reaches([0x0f, 0x84, 0, 1, 0, 0] + branch(0xe9, at: 6), .conditionalJumpOut))
  }
}
