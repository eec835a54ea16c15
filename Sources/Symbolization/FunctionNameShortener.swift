/// Shortens long C++, Rust and Swift function names for text, by leaving out template arguments and parameters.
///
/// `std::vector<int, std::allocator<int> >::push_back(int const&)` stays as it is; where the name is longer than the limit, the
/// bracketed parts that take most room become `<…>` and `(…)`. Brackets stay balanced, and the angle brackets of `operator<`,
/// `operator<<`, `operator->` and their like are not taken for template brackets.
package struct FunctionNameShortener: Sendable {
  /// Characters that a name may have before anything is left out.
  package var limit: Int

  package init(limit: Int = 60) { self.limit = limit }

  /// The name, shortened as far as that is possible without breaking its outermost structure: the result may still be longer than
  /// the limit.
  package func shorten(_ name: String) -> String {
    guard name.utf8.count > limit else { return name }
    let text = Array(name.utf8)
    var groups = Self.groups(in: text)
    guard !groups.isEmpty else { return name }
    // Parameters are left out first, because they repeat what the name says; then template arguments, the deepest
    // before those around them, and of one depth the longest first.
    groups.sort {
      ($0.kind.order, -$0.depth, -$0.length, $0.start) < (
        $1.kind.order, -$1.depth, -$1.length, $1.start
      )
    }
    var isElided = [Bool](repeating: false, count: text.count)
    var length = text.count
    for group in groups where length > limit {
      let inside = (group.start + 1)..<group.end
      let before = Self.visibleCount(isElided, in: inside)
      guard before > 1 else { continue }
      for index in inside { isElided[index] = true }
      length -= before - 1
    }
    return Self.render(text, isElided)
  }

  private static let sign = Array("…".utf8)

  private struct Group {
    enum Kind {
      case parameters, template
      var order: Int { self == .parameters ? 0 : 1 }
    }
    var kind: Kind
    /// Position of the opening bracket.
    var start: Int
    /// Position of the closing bracket.
    var end: Int
    /// 0 for brackets that are in no other.
    var depth: Int
    var length: Int { end - start }
  }

  /// Characters shown of a range, each part left out counting as the one of its sign.
  private static func visibleCount(_ isElided: [Bool], in range: Range<Int>) -> Int {
    var count = 0
    for index in range where !isElided[index] || index == range.lowerBound || !isElided[index - 1] {
      count += 1
    }
    return count
  }

  private static func render(_ text: [UInt8], _ isElided: [Bool]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for (index, byte) in text.enumerated() {
      if !isElided[index] {
        result.append(byte)
      } else if index == 0 || !isElided[index - 1] {
        result += sign
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The bracketed parts of a name that may be left out; none if its brackets do not match.
  private static func groups(in text: [UInt8]) -> [Group] {
    var open: [(byte: UInt8, position: Int)] = []
    var groups: [Group] = []
    var index = 0
    while index < text.count {
      let byte = text[index]
      if let length = operatorLength(in: text, at: index) {
        index += length
        continue
      }
      switch byte {
      case UInt8(ascii: "<"), UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"):
        open.append((byte, index))
      case UInt8(ascii: ">") where index > 0 && text[index - 1] == UInt8(ascii: "-"):
        break  // an arrow
      case UInt8(ascii: ">"), UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
        guard let last = open.popLast(), closing(last.byte) == byte else { return [] }
        if let kind = kind(in: text, from: last.position, to: index) {
          groups.append(Group(kind: kind, start: last.position, end: index, depth: open.count))
        }
      default: break
      }
      index += 1
    }
    return open.isEmpty ? groups : []
  }

  private static func closing(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "<"): UInt8(ascii: ">")
    case UInt8(ascii: "("): UInt8(ascii: ")")
    case UInt8(ascii: "["): UInt8(ascii: "]")
    default: UInt8(ascii: "}")
    }
  }

  /// What a pair of brackets holds; nil where they say who the function is, as in `(anonymous namespace)::f`,
  /// `operator()`, `{lambda(int)#1}`, Rust's `<T as Trait>::f` and Swift's `Module.(f in _0123)`.
  private static func kind(in text: [UInt8], from start: Int, to end: Int) -> Group.Kind? {
    switch text[start] {
    case UInt8(ascii: "<"):
      guard start > 0 else { return nil }
      let isPlain = text[start - 1] != UInt8(ascii: " ")
      return isPlain || text[..<start].hasSuffix("specialization ") ? .template : nil
    case UInt8(ascii: "("):
      let isScope =
        start == 0 || text[..<start].hasSuffix("::") || text[start - 1] == UInt8(ascii: ".")
      // A function that returns a pointer to one: `void (*f(int))(char)`.
      let isDeclarator = text[start + 1] == UInt8(ascii: "*") && end - start > 2
      return isScope || isDeclarator ? nil : .parameters
    default: return nil
    }
  }

  /// Bytes of an operator's name with brackets in it that starts here, `operator` included; nil if none does.
  private static func operatorLength(in text: [UInt8], at index: Int) -> Int? {
    let word = Array("operator".utf8)
    guard text[index] == word[0], text[index...].starts(with: word),
      index == 0 || !isIdentifier(text[index - 1])
    else { return nil }
    let rest = text[(index + word.count)...]
    for symbol in operators where rest.starts(with: symbol.utf8) {
      // `operator<` of a template is `operator< <int>`, so the longest symbol is right.
      return word.count + symbol.utf8.count
    }
    return nil
  }

  private static let operators = [
    "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">",
  ]

  private static func isIdentifier(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "_") || byte >= 0x80
      || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
      || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
  }
}

extension Collection<UInt8> where Self: BidirectionalCollection {
  fileprivate func hasSuffix(_ text: StaticString) -> Bool {
    let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    return count >= wanted.count && suffix(wanted.count).elementsEqual(wanted)
  }
}
