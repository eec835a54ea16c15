import Glibc
import TestTools
import Testing
import TraceModel

@testable import Symbolization

@Suite struct KernelSymbolsTests {
  private let text = """
    0000000000000000 A fixed_percpu_data
    ffffffff81000100 T first
    ffffffff81000100 T alias
    ffffffff81000200 t second
    ffffffff81000300 D data
    ffffffffc0000000 t in_module\t[ext4]
    ffffffffc0100000 t bpf_prog_0123456789abcdef_name\t[bpf]
    broken
    ffffffffc0200000 t
    ffffffffc0200000

    """

  private func frames(_ addresses: [UInt64], leafIsExact: Bool = true) throws -> [Frame] {
    let directory = try TemporaryDirectory()
    let symbols = KernelSymbols(path: try directory.write("kallsyms", text))
    #expect(symbols.count == 4)
    return symbols.frames(
      for: StackTrace(addresses: addresses, completeness: .complete), leafIsExact: leafIsExact)
  }

  @Test func namesFunctions() throws {
    let frames = try frames([
      0xffff_ffff_8100_0100, 0xffff_ffff_8100_0200, 0xffff_ffff_8100_0201, 0xffff_ffff_c000_0011,
      0xffff_ffff_c010_0005, 0xffff_ffff_8000_0000, 0, 0xffff_ffff_ffff_fff0,
    ])
    #expect(
      frames.map(\.function) == [
        "first", "first", "second", "in_module", "bpf_prog_0123456789abcdef_name", nil, nil, nil,
      ])
    #expect(frames.map(\.functionOffset) == [0, 0x100, 1, 0x11, 5, nil, nil, nil])
    #expect(
      frames.map(\.module) == [
        "[kernel]", "[kernel]", "[kernel]", "[ext4]", "[bpf]", "[kernel]", "[kernel]", "[kernel]",
      ])
    #expect(frames.suffix(3).allSatisfy { $0.unresolved == .noSymbol })
  }

  @Test func looksUpReturnAddressesInsideTheCall() throws {
    #expect(try frames([0xffff_ffff_8100_0200], leafIsExact: false).map(\.function) == ["first"])
  }

  /// By exact names: the kernel's own, of which the next function is the end, and those of modules.
  @Test func findsNames() throws {
    let directory = try TemporaryDirectory()
    let symbols = KernelSymbols(path: try directory.write("kallsyms", text))
    let megabyte: UInt64 = 1 << 20
    #expect(symbols.range(of: "first") == 0xffff_ffff_8100_0100..<0xffff_ffff_8100_0200)
    #expect(symbols.range(of: "alias") == 0xffff_ffff_8100_0100..<0xffff_ffff_8100_0200)
    #expect(symbols.range(of: "second") == 0xffff_ffff_8100_0200..<(0xffff_ffff_8100_0200 + megabyte))
    #expect(symbols.range(of: "in_module") == 0xffff_ffff_c000_0000..<0xffff_ffff_c010_0000)
    #expect(symbols.range(of: "irst") == nil && symbols.range(of: "data") == nil && symbols.range(of: "") == nil)
    #expect(symbols.dataAddress(of: "data") == 0xffff_ffff_8100_0300)
    #expect(symbols.dataAddress(of: "first") == nil && symbols.dataAddress(of: "fixed_percpu_data") == nil)
  }

  @Test func namesNothingWhereAddressesAreHidden() throws {
    let directory = try TemporaryDirectory()
    let hidden = "0000000000000000 T first\n0000000000000000 t second\n"
    let symbols = KernelSymbols(path: try directory.write("kallsyms", hidden))
    #expect(symbols.count == 0)
    let stack = StackTrace(addresses: [0xffff_ffff_8100_0100], completeness: .complete)
    #expect(symbols.frames(for: stack, leafIsExact: true).map(\.unresolved) == [.noSymbol])
  }

  @Test(.enabled(if: geteuid() == 0, "needs root to see kernel addresses"))
  func readsThisKernel() throws {
    let symbols = KernelSymbols()
    #expect(symbols.count > 10_000)
    let line = try run(["grep", "-m1", " T vfs_read$", "/proc/kallsyms"])
    let address = try #require(UInt64(line.prefix(16), radix: 16))
    let stack = StackTrace(addresses: [address + 5], completeness: .complete)
    let frame = try #require(symbols.frames(for: stack, leafIsExact: true).first)
    #expect(frame.function == "vfs_read" && frame.functionOffset == 5)
  }
}
