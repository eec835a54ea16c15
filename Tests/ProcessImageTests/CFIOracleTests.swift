import CTraceABI
import Glibc
import TestTools
import Testing

@testable import ProcessImage

/// The converter's rows against those of libdw, at every boundary of either.
@Suite struct CFIOracleTests {
  static let libraries: [String] = [
    "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
  ].filter { (path: String) in access(path, R_OK) == 0 }

  @Test(arguments: libraries) func rowsEqualThoseOfLibdw(path: String) throws {
    try compare(path: path, period: 1)
  }

  /// clang has more than a million rows, of which a part is compared unless LEAKTRACE_ALL_ROWS is set.
  @Test(.enabled(if: findTool("clang") != nil, "needs clang"))
  func rowsOfALargeFileEqualThoseOfLibdw() throws {
    let path = try #require(findTool("clang"))
    try compare(path: path, period: getenv("LEAKTRACE_ALL_ROWS") == nil ? 50 : 1)
  }

  /// Compares in 1 of `period` blocks of text.
  private func compare(path: String, period: UInt64) throws {
    let table = try CFITable(file: ElfFile(path: path))
    let oracle = try #require(OracleRows(path: path))
    var compared = 0
    var mismatches: [String] = []
    func check(_ address: UInt64) -> UInt64 {
      let own = table.rule(at: address)
      let row = oracle.row(at: address)
      compared += 1
      // Padding between functions has the rule of the function before it.
      if let row, row.rule != own {
        mismatches.append("\(hex(address)): \(hex(own)), libdw \(hex(row.rule))")
      } else if row == nil, own != CFIRule.noRow, !isPadding(address) {
        mismatches.append("\(hex(address)): \(hex(own)), libdw none")
      }
      return row?.range.upperBound ?? address
    }
    func isPadding(_ address: UInt64) -> Bool {
      oracle.row(at: (address + 15) & ~15) != nil
    }
    table.forEachRow { address, _ in
      guard (address >> UInt64(LT_UNWIND_BLOCK_SHIFT)) % period == 0 else { return }
      // From this row to the next one, libdw's boundaries too.
      let end = check(address)
      if end != address { _ = check(end - 1) }
      if end < table.textEnd { _ = check(end) }
    }
    #expect(mismatches.isEmpty, "\(mismatches.count) of \(compared): \(mismatches.prefix(10))")
    #expect(compared > 100)
    if getenv("LEAKTRACE_ALL_ROWS") != nil { print("\(path): \(compared) comparisons") }
  }

  private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
