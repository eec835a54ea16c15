import CTraceABI

/// The call-frame information of one file, as the rows that the stack walker in `BPF/unwind/unwind.bpf.h` uses.
package struct CFITable: Sendable {
  /// Counts of what the conversion found.
  package struct Statistics: Equatable, Sendable {
    /// Functions (FDEs) converted.
    package var functions = 0
    /// FDEs and CIEs that could not be read, and rows that were dropped with them.
    package var malformedRecords = 0
    /// Rows with a rule that the walker cannot express.
    package var unsupportedRows = 0
    /// Functions that begin inside of another one. Of these, only the part that lies outside is kept.
    package var overlappingFunctions = 0
  }

  /// The virtual address at which block 0 begins; a multiple of the block size.
  package var textStart: UInt64 = 0
  /// The index of the first row of each block of text, followed by the number of rows.
  package var blockStarts: [UInt32] = []
  /// The rows in ascending order. Bits 31–24 are the offset in the block; bits 15–0 are a plain rule code or an index
  /// into ``rules``.
  package var rows: [UInt32] = []
  /// The rules that have no plain code. The fixed ones come first.
  package var rules: [UInt64] = CFIRule.fixed
  package var statistics = Statistics()

  /// An empty table, which covers no text.
  package init() {}

  package var blockCount: Int { max(0, blockStarts.count - 1) }
  /// The first virtual address after the last block.
  package var textEnd: UInt64 { textStart + UInt64(blockCount) << UInt64(LT_UNWIND_BLOCK_SHIFT) }
  /// The size of the table as the walker stores it, in 32-bit words.
  package var wordCount: Int { blockStarts.count + rows.count }

  /// The rule for `address`, looked up in the same way as the stack walker does it.
  package func rule(at address: UInt64) -> UInt64 {
    guard address >= textStart, address < textEnd else { return CFIRule.noRow }
    let offset = address - textStart
    let block = Int(offset >> UInt64(LT_UNWIND_BLOCK_SHIFT))
    var low = Int(blockStarts[block])
    var high = Int(blockStarts[block + 1])
    let key = UInt32(offset & 0xff) << 24 | 0xff_ffff
    while low < high {
      let middle = (low + high) / 2
      if rows[middle] <= key { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? CFIRule.noRow : rule(ofRow: rows[low - 1])
  }

  private func rule(ofRow row: UInt32) -> UInt64 {
    let code = UInt16(truncatingIfNeeded: row)
    return code & UInt16(LT_UNWIND_CODE_PLAIN) != 0
      ? CFIRule.rule(plainCode: code) : rules[Int(code)]
  }

  /// Calls `body` with the first address and the rule of each row, in ascending order.
  package func forEachRow(_ body: (_ address: UInt64, _ rule: UInt64) throws -> Void) rethrows {
    for block in 0..<blockCount {
      let start = textStart + UInt64(block) << UInt64(LT_UNWIND_BLOCK_SHIFT)
      for index in Int(blockStarts[block])..<Int(blockStarts[block + 1]) {
        try body(start + UInt64(rows[index] >> 24), rule(ofRow: rows[index]))
      }
    }
  }
}

/// Why no table could be made for a file.
package enum CFIError: Error, Equatable {
  /// The file has no function that can be used.
  case empty
  /// The table would exceed a limit. `words` is the size, in 32-bit words, at which the conversion stopped.
  case tooLarge(words: Int)
}
