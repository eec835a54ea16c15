import CTraceABI
import CUnwindOracle

@testable import ProcessImage

/// The rows of a file by libdw.
final class OracleRows {
  private let file: OpaquePointer

  init?(path: String) {
    var file: OpaquePointer?
    guard oracle_open(path, &file) == 0, let file else { return nil }
    self.file = file
  }

  deinit { oracle_close(file) }

  struct Row {
    let range: Range<UInt64>
    let rule: UInt64
  }

  func row(at address: UInt64) -> Row? {
    var row = oracle_row()
    guard oracle_find_row(file, address, &row) == 0, row.start < row.end else { return nil }
    var state = CFIState()
    (state.cfa, state.cfaOffset) = Self.cfa(row.cfa)
    state.framePointer = Self.location(row.rbp)
    state.stackPointer = Self.location(row.rsp)
    state.returnAddress = Self.location(row.return_address)
    return Row(
      range: row.start..<row.end, rule: state.rule(isSignalFrame: row.is_signal_frame))
  }

  private static func cfa(_ value: oracle_value) -> (CFIState.CFA, Int64) {
    switch value.kind {
    case ORACLE_RELATIVE: (.register(value.base), value.offset)
    case ORACLE_DEREFERENCED: (.dereferenced(value.base, addend: value.addend), value.offset)
    case ORACLE_LINKAGE_TABLE: (.linkageTable(threshold: value.addend), value.offset)
    default: (.unsupported, 0)
    }
  }

  private static func location(_ value: oracle_value) -> CFIState.Location {
    switch value.kind {
    case ORACLE_SAME: .same
    case ORACLE_UNDEFINED: .undefined
    case ORACLE_CFA_OFFSET: .offset(value.offset)
    case ORACLE_RELATIVE: .relative(value.base, value.offset)
    default: .unsupported
    }
  }
}
