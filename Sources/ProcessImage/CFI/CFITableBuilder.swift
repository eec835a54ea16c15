import CTraceABI

/// Builds a ``CFITable`` from rows that come in ascending order.
struct CFITableBuilder {
  /// A gap between two functions counts as padding, and gets no row of its own, if it is smaller than this (in bytes)
  /// and ends at a multiple of it. Any other gap is taken for code without call-frame information.
  private static let functionAlignment: UInt64 = 16

  private var table = CFITable()
  private var codes = CFIRuleCodes()
  private var textStart: UInt64 = 0
  /// The next address that needs a row: everything below it has one already.
  private var floor: UInt64 = 0
  private var lastCode: UInt32 = .max
  private var lastAddress: UInt64 = .max

  var statistics: CFITable.Statistics {
    get { table.statistics }
    set { table.statistics = newValue }
  }

  var wordCount: Int { table.wordCount }

  /// Starts the table at the block of `address`.
  mutating func begin(at address: UInt64) {
    textStart = address & ~(1 << UInt64(LT_UNWIND_BLOCK_SHIFT) - 1)
    table.textStart = textStart
    floor = address
  }

  mutating func beginFunction(start: UInt64, end: UInt64) {
    table.statistics.functions += 1
    if start < floor {
      table.statistics.overlappingFunctions += 1
    } else if start > floor {
      let isPadding =
        start - floor < Self.functionAlignment && start % Self.functionAlignment == 0
      if !isPadding { put(floor, UInt32(LT_UNWIND_RULE_ID_NO_ROW.rawValue)) }
    }
  }

  /// Ends a function. Nothing is known of the addresses from `end` on, until the next function begins.
  mutating func endFunction(end: UInt64) {
    if end > floor { floor = end }
  }

  @inline(__always)
  mutating func append(address: UInt64, rule: UInt64) {
    let code = codes.code(of: rule)
    if code == UInt32(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue) {
      table.statistics.unsupportedRows += 1
    }
    put(max(address, floor), code)
  }

  @inline(__always)
  private mutating func put(_ address: UInt64, _ code: UInt32) {
    if code == lastCode { return }
    let offset = address &- textStart
    let row = UInt32(truncatingIfNeeded: offset) << 24 | code
    lastCode = code
    if address == lastAddress {
      table.rows[table.rows.count - 1] = row
      return
    }
    lastAddress = address
    let block = Int(offset >> UInt64(LT_UNWIND_BLOCK_SHIFT))
    let count = UInt32(table.rows.count)
    while table.blockStarts.count <= block { table.blockStarts.append(count) }
    table.rows.append(row)
  }

  /// Ends the table and returns it.
  mutating func finish() -> CFITable {
    put(floor, UInt32(LT_UNWIND_RULE_ID_NO_ROW.rawValue))
    table.blockStarts.append(UInt32(table.rows.count))
    table.rules = codes.rules
    return table
  }
}

/// Assigns a code to each rule of a table.
struct CFIRuleCodes {
  private(set) var rules = CFIRule.fixed
  private static let slotCount = 2048
  /// A hash table with open addressing. Each slot holds an index into `rules`, or 0 if it is free.
  private var slots = [UInt16](repeating: 0, count: slotCount)
  private var lastRule = CFIRule.unsupported
  private var lastCode = UInt32(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue)

  /// The most rules without a plain code that one file may have; the largest output of a compiler has a few dozen. Any
  /// further rule becomes "unsupported".
  static let maximum = 1024

  @inline(__always)
  mutating func code(of rule: UInt64) -> UInt32 {
    if rule != lastRule {
      lastRule = rule
      lastCode = CFIRule.plainCode(rule).map(UInt32.init) ?? search(rule)
    }
    return lastCode
  }

  private mutating func search(_ rule: UInt64) -> UInt32 {
    switch rule {
    case CFIRule.noRow: return UInt32(LT_UNWIND_RULE_ID_NO_ROW.rawValue)
    case CFIRule.end: return UInt32(LT_UNWIND_RULE_ID_END.rawValue)
    case CFIRule.unsupported: return UInt32(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue)
    default: break
    }
    var slot = Int((rule &* 0x9e37_79b9_7f4a_7c15) >> 53)
    while slots[slot] != 0 {
      if rules[Int(slots[slot])] == rule { return UInt32(slots[slot]) }
      slot = (slot + 1) & (Self.slotCount - 1)
    }
    guard rules.count < Self.maximum else {
      return UInt32(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue)
    }
    slots[slot] = UInt16(rules.count)
    rules.append(rule)
    return UInt32(rules.count - 1)
  }
}
