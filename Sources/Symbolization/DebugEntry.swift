import CElfUtils

/// Helpers for DWARF entries, bounded where a hostile file could make them run on.
enum DebugEntry {
  /// Calls `body` for the address ranges of an entry; empty and reversed ones are left out.
  ///
  /// - Parameter left: how many ranges may still be read; counted down.
  static func forEachRange(of entry: inout Dwarf_Die, left: inout Int, _ body: (UInt64, UInt64) -> Void) {
    var base: Dwarf_Addr = 0
    var low: Dwarf_Addr = 0
    var high: Dwarf_Addr = 0
    var offset: Int = 0
    while left > 0 {
      offset = dwarf_ranges(&entry, offset, &base, &low, &high)
      guard offset > 0 else { return }
      left -= 1
      if low < high { body(low, high) }
    }
  }

  /// Calls `body` for the children of an entry, as long as it returns true. Siblings lie behind each other in the file: a link
  /// backwards ends the walk.
  static func forEachChild(of entry: inout Dwarf_Die, _ body: (inout Dwarf_Die) -> Bool) {
    var child = Dwarf_Die()
    guard dwarf_child(&entry, &child) == 0 else { return }
    while true {
      let offset = dwarf_dieoffset(&child)
      guard body(&child) else { return }
      var next = Dwarf_Die()
      guard dwarf_siblingof(&child, &next) == 0, dwarf_dieoffset(&next) > offset else { return }
      child = next
    }
  }

  /// The linker's name of a function if the entry or what it refers to has one, else the name in the source.
  static func name(of entry: inout Dwarf_Die) -> UnsafePointer<CChar>? {
    for code in [DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name] {
      var attribute = Dwarf_Attribute()
      if dwarf_attr_integrate(&entry, UInt32(code), &attribute) != nil,
        let text = dwarf_formstring(&attribute)
      {
        return text
      }
    }
    return nil
  }

  /// The value of an attribute that the entry itself has.
  static func number(_ code: UInt32, of entry: inout Dwarf_Die) -> UInt64? {
    var attribute = Dwarf_Attribute()
    var value: Dwarf_Word = 0
    guard dwarf_attr(&entry, code, &attribute) != nil, dwarf_formudata(&attribute, &value) == 0
    else { return nil }
    return value
  }
}
