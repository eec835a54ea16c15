import Allocators
import CTraceABI
import ProcessImage
import SystemSupport
import Testing

@testable import AllocationTracing

@Suite struct AllocatorCatalogTests {
  @Test func namesAreUnique() {
    let names = AllocatorCatalog.functions.map(\.name)
    #expect(names.count == Set(names).count)
  }

  @Test func everyReplaceableOperatorIsKnown() {
    let names = Set(AllocatorCatalog.functions.map(\.name))
    #expect(names.filter { $0.hasPrefix("_Zn") }.count == 8)
    #expect(names.filter { $0.hasPrefix("_Zd") }.count == 12)
  }

  @Test func argumentsAreInRegisters() {
    for function in AllocatorCatalog.functions {
      #expect(function.arguments.allSatisfy { (0...5).contains($0) }, "\(function.name)")
      #expect(function.arguments.count <= 3)
    }
  }

  @Test func attachCookie() {
    let object = ProbedObject(
      path: "/lib/x", identity: FileIdentity(device: 1, inode: 2), buildID: nil)
    let probe = AllocatorProbe(
      function: AllocatorFunction("realloc", .reallocate(pointer: 0, size: 1), .mayNest),
      aliases: [], object: object, address: 0x1000, fileOffset: 0x800,
      site: ProbeSite(
        offset: 20, instruction: "jmp", isEmulated: true, argumentRegisters: [0: .rsi]),
      returns: .returnProbe)
    let cookie = probe.attachCookie(probeIndex: 0x123, processSlot: 0x45)
    #expect(cookie & 0xff == UInt64(LT_REALLOCATE.rawValue))
    #expect(cookie >> 8 & 0xff == UInt64(LT_COOKIE_MAY_NEST))
    #expect(cookie >> 16 & 0xf == UInt64(LT_REG_SI.rawValue))
    #expect(cookie >> 32 & 0xffff == 0x123)
    #expect(cookie >> 48 == 0x45)
  }

  @Test func registersAreNumberedAsInTheCookie() {
    #expect(ArgumentRegister.rdi.rawValue == UInt8(LT_REG_DI.rawValue))
    #expect(ArgumentRegister.rax.rawValue == UInt8(LT_REG_AX.rawValue))
    #expect(ArgumentRegister.r8.rawValue == UInt8(LT_REG_R8.rawValue))
    #expect(ArgumentRegister.r15.rawValue == UInt8(LT_REG_R15.rawValue))
  }

  @Test func wrappersServeTheSameBlock() throws {
    func function(_ name: String) throws -> AllocatorFunction {
      try #require(AllocatorCatalog.functions.first { $0.name == name })
    }
    #expect(try function("_Znwm").isServed(by: function("malloc")))
    #expect(try function("posix_memalign").isServed(by: function("memalign")))
    #expect(try function("reallocarray").isServed(by: function("realloc")))
    #expect(try function("_ZdaPv").isServed(by: function("free")))
    #expect(try !function("aligned_alloc").isServed(by: function("malloc")))
    #expect(try !function("realloc").isServed(by: function("malloc")))
    #expect(try !function("free").isServed(by: function("malloc")))
  }
}
