import CElfUtils
import Glibc
import ProcessImage
import SystemSupport

/// The global and static variables of one file by address, with where and as what they are declared.
///
/// Read once, in a walk over all units that ends after a limit of entries or of time: what is missing then has its name from
/// the symbol table, without a line.
final class DebugVariables {
  struct Variable {
    var address: UInt64
    /// Offset of the entry in `.debug_info`.
    fileprivate var entry: UInt64
  }

  private var variables: [Variable] = []
  private var isCut = false
  private let dwarf: OpaquePointer
  private var entriesLeft = 6 << 20
  private let end: UInt64

  private static let maximumVariableCount = 1 << 20
  private static let maximumDepth = 48
  private static let maximumSeconds = 1.5

  init(_ dwarf: OpaquePointer) {
    self.dwarf = dwarf
    end = monotonicNanoseconds() + UInt64(Self.maximumSeconds * 1e9)
    var unit: OpaquePointer?
    var next: OpaquePointer?
    var version: Dwarf_Half = 0
    var type: UInt8 = 0
    var entry = Dwarf_Die()
    while !isCut, dwarf_get_units(dwarf, unit, &next, &version, &type, &entry, nil) == 0 {
      unit = next
      if type == UInt8(DW_UT_compile) { collect(below: &entry, depth: 0) }
    }
    variables.sort { ($0.address, $0.entry) < ($1.address, $1.entry) }
  }

  private func collect(below parent: inout Dwarf_Die, depth: Int) {
    guard depth < Self.maximumDepth, !isCut else { return }
    DebugEntry.forEachChild(of: &parent) { child in
      entriesLeft -= 1
      if entriesLeft <= 0 || variables.count >= Self.maximumVariableCount
        || entriesLeft & 1023 == 0 && monotonicNanoseconds() > end
      {
        isCut = true
      }
      guard !isCut else { return false }
      switch UInt32(bitPattern: dwarf_tag(&child)) {
      case UInt32(DW_TAG_variable):
        if let address = Self.address(of: &child) {
          variables.append(Variable(address: address, entry: dwarf_dieoffset(&child)))
        }
      case UInt32(DW_TAG_namespace), UInt32(DW_TAG_module), UInt32(DW_TAG_subprogram), UInt32(DW_TAG_lexical_block):
        collect(below: &child, depth: depth + 1)
      default: break
      }
      return true
    }
  }

  /// The fixed address of a variable that has one.
  private static func address(of entry: inout Dwarf_Die) -> UInt64? {
    var attribute = Dwarf_Attribute()
    var block = Dwarf_Block()
    guard dwarf_attr(&entry, UInt32(DW_AT_location), &attribute) != nil,
      dwarf_whatform(&attribute) != UInt32(DW_FORM_sec_offset), dwarf_whatform(&attribute) != UInt32(DW_FORM_loclistx),
      dwarf_formblock(&attribute, &block) == 0, block.length > 1, let data = block.data
    else { return nil }
    if data[0] == UInt8(DW_OP_addr), block.length == 9 {
      return UnsafeRawPointer(data + 1).loadUnaligned(as: UInt64.self)
    }
    guard data[0] == UInt8(DW_OP_addrx), block.length <= 6 else { return nil }
    var operations: UnsafeMutablePointer<Dwarf_Op>?
    var count = 0
    guard dwarf_getlocation(&attribute, &operations, &count) == 0, count == 1, let operations else { return nil }
    var place = Dwarf_Attribute()
    var address: Dwarf_Addr = 0
    guard dwarf_getlocation_attr(&attribute, operations, &place) == 0, dwarf_formaddr(&place, &address) == 0 else {
      return nil
    }
    return address
  }

  /// Where the variable at exactly this address is declared, and the name of its type.
  func declaration(at address: UInt64) -> (file: String?, line: Int?, type: String?)? {
    var low = 0
    var high = variables.count
    while low < high {
      let middle = (low + high) / 2
      if variables[middle].address < address { low = middle + 1 } else { high = middle }
    }
    guard low < variables.count, variables[low].address == address else { return nil }
    var entry = Dwarf_Die()
    guard dwarf_offdie(dwarf, variables[low].entry, &entry) != nil else { return nil }
    var line: Int32 = 0
    let file = dwarf_decl_file(&entry).map { SymbolText.string($0) }
    let hasLine = dwarf_decl_line(&entry, &line) == 0 && line > 0
    return (file, hasLine ? Int(line) : nil, Self.typeName(of: &entry))
  }

  private static func typeName(of entry: inout Dwarf_Die) -> String? {
    var current = entry
    var suffix = ""
    for _ in 0..<8 {
      var attribute = Dwarf_Attribute()
      var type = Dwarf_Die()
      guard dwarf_attr_integrate(&current, UInt32(DW_AT_type), &attribute) != nil,
        dwarf_formref_die(&attribute, &type) != nil
      else { return nil }
      switch UInt32(bitPattern: dwarf_tag(&type)) {
      case UInt32(DW_TAG_pointer_type): suffix = "*" + suffix
      case UInt32(DW_TAG_array_type): suffix = "[]" + suffix
      case UInt32(DW_TAG_const_type), UInt32(DW_TAG_volatile_type): break
      default: return dwarf_diename(&type).map { SymbolText.string($0) + suffix }
      }
      current = type
    }
    return nil
  }
}
