import BPFRuntime
import CTraceABI
import ProcessImage

/// The dictionary of unwind rules for the whole session, in the map `lt_unwind_rules`. Rules are only ever added, so a
/// program that reads an identifier always finds the rule for which it was given out.
struct UnwindRuleDictionary {
  private let memory: MappedArray
  private var identifiers: [UInt64: UInt16] = [:]
  private var next = Int(LT_UNWIND_FIRST_FREE_RULE_ID.rawValue)
  /// How many rules did not fit and became "unsupported".
  private(set) var refusedCount = 0

  init(map: BPFMap) throws(BPFError) {
    memory = try map.memoryMapped()
    for (identifier, rule) in CFIRule.fixed.enumerated() {
      memory.bytes.storeBytes(of: rule, toByteOffset: identifier * 8, as: UInt64.self)
      if identifier != Int(LT_UNWIND_RULE_ID_EMPTY.rawValue) {
        identifiers[rule] = UInt16(identifier)
      }
    }
  }

  var count: Int { next }

  /// The rule that a code of a stored row stands for.
  func rule(ofCode code: UInt16) -> UInt64 {
    if code & UInt16(LT_UNWIND_CODE_PLAIN) != 0 { return CFIRule.rule(plainCode: code) }
    guard code < LT_UNWIND_MAX_RULES else { return CFIRule.unsupported }
    return memory.bytes.loadUnaligned(fromByteOffset: Int(code) * 8, as: UInt64.self)
  }

  /// The identifiers of a table's rules. New rules are entered.
  mutating func identifiers(of rules: [UInt64]) -> [UInt16] {
    rules.map { rule in
      if let known = identifiers[rule] { return known }
      guard next < Int(LT_UNWIND_MAX_RULES) else {
        refusedCount += 1
        return UInt16(LT_UNWIND_RULE_ID_UNSUPPORTED.rawValue)
      }
      let identifier = UInt16(next)
      memory.bytes.storeBytes(of: rule, toByteOffset: next * 8, as: UInt64.self)
      identifiers[rule] = identifier
      next += 1
      return identifier
    }
  }
}
