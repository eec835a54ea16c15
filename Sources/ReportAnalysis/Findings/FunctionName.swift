/// What a demangled name says of where its function belongs.
///
/// Names are data of the traced program: whatever they contain, they are only looked through once.
struct FunctionName {
  /// The function with its namespaces, without the type that it returns and without parameters:
  /// `std::vector<int, std::allocator<int> >::push_back` of `void std::vector<int, …>::push_back(int const&)`.
  let qualified: Substring
  /// Whether a list of parameters follows. C++ has one, C, Rust, Go and the names of interpreters have none.
  let hasParameters: Bool

  /// Longer names are not looked through.
  private static let longest = 4096

  init(_ text: String) {
    guard text.utf8.count <= Self.longest else {
      qualified = text.prefix(Self.longest)
      hasParameters = false
      return
    }
    let bytes = Array(text.utf8)
    var depth = 0
    var start = 0
    var end: Int?
    var place = 0
    let lastOpening = bytes.lastIndex(of: UInt8(ascii: "(")) ?? -1
    while place < bytes.count {
      if let next = Self.endOfOperator(bytes, place) {
        place = next
        continue
      }
      switch bytes[place] {
      case UInt8(ascii: "("):
        // `(anonymous namespace)` and `decltype (…)` are part of a name or of a type, not parameters.
        if depth == 0, place > start, !Self.isType(bytes[start..<place]) {
          end = end ?? place
        }
        depth += 1
      case UInt8(ascii: "<"), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: ">"), UInt8(ascii: "]"), UInt8(ascii: "}"):
        // The arrow of a type is no bracket.
        if bytes[place] != UInt8(ascii: ">") || place == 0 || bytes[place - 1] != UInt8(ascii: "-") {
          depth = max(0, depth - 1)
        }
      case UInt8(ascii: " ") where depth == 0 && end == nil: start = place + 1
      default: break
      }
      if end != nil, depth == 0, bytes[place] == UInt8(ascii: " "), lastOpening > place,
        !Self.isAppended(bytes, after: place)
      {
        // What looked like parameters belonged to the type: `decltype(x) std::f(…)`.
        start = place + 1
        end = nil
      }
      place += 1
    }
    hasParameters = end != nil
    qualified = Self.text(bytes[min(start, end ?? bytes.count)..<(end ?? bytes.count)])
  }

  /// `operator new[]`, `operator<<`, `operator()`: signs behind the word are no brackets, and a blank ends no type.
  private static func endOfOperator(_ bytes: [UInt8], _ place: Int) -> Int? {
    guard bytes[place] == word[0], place + word.count < bytes.count,
      bytes[place..<place + word.count].elementsEqual(word),
      place == 0 || !isWord(bytes[place - 1])
    else { return nil }
    var end = place + word.count
    if isWord(bytes[end]) { return nil }
    if bytes[end] == UInt8(ascii: " ") {
      end += 1
      while end < bytes.count, isWord(bytes[end]) { end += 1 }
      return end
    }
    let signs = operators.first { bytes[end...].starts(with: $0) }
    end += signs?.count ?? 0
    return bytes[end...].starts(with: arguments) ? end + 1 : end
  }

  private static let word = Array("operator".utf8)
  private static let arguments = Array(" <".utf8)

  /// The longest first. What follows `operator+` in angle brackets are arguments of a template; where the operator itself ends
  /// with such a bracket, demanglers put a blank between the two.
  private static let operators: [[UInt8]] = [
    "<=>", "<<=", ">>=", "->*", "()", "[]", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "++", "--", "+=", "-=",
    "*=", "/=",
    "%=", "^=", "&=", "|=", "->", "<", ">", "+", "-", "*", "/", "%", "^", "&", "|", "~", "!", "=", ",",
  ].map { Array($0.utf8) }

  private static func isWord(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "_") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private static func isType(_ part: ArraySlice<UInt8>) -> Bool {
    part.elementsEqual("decltype".utf8) || part.last == UInt8(ascii: ":")
  }

  /// Whether what follows a blank behind parameters belongs to them, and is no function of its own.
  private static func isAppended(_ bytes: [UInt8], after place: Int) -> Bool {
    let rest = bytes[(place + 1)...]
    return appended.contains { rest.starts(with: $0) }
  }

  private static let appended: [[UInt8]] = ["const", "volatile", "[", "&", "(.", "noexcept"].map { Array($0.utf8) }

  private static func text(_ bytes: ArraySlice<UInt8>) -> Substring {
    Substring(String(decoding: bytes, as: UTF8.self))
  }
}
