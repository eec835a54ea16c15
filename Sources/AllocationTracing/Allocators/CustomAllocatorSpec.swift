import Allocators
import SystemSupport

/// A function of the target's own that hands out or takes back memory, as `--alloc` and `--free` describe it.
package struct CustomAllocatorSpec: Hashable, Sendable {
  package var function: AllocatorFunction

  package static let allocateHelp =
    "SYMBOL:size=ARG[,count=ARG][,ptr=ARG][,out=ARG]; ARG is 1 to 6, the first argument being 1"
  package static let freeHelp = "SYMBOL:ptr=ARG; ARG is 1 to 6, the first argument being 1"

  /// Parses the value of `--alloc`. `count` multiplies `size`, `ptr` is a block that is resized, `out` is where the
  /// address of the new block is stored by a function that returns 0 on success.
  package init(parsingAllocate text: String) throws(Refusal) {
    let (symbol, arguments) = try Self.parse(
      text, option: "--alloc", keys: ["size", "count", "ptr", "out"])
    guard let size = arguments["size"] else {
      throw Refusal("--alloc \(text): 'size=ARG' is missing")
    }
    let kind: AllocatorFunction.Kind
    switch (arguments["ptr"], arguments["count"], arguments["out"]) {
    case (nil, nil, nil): kind = .allocate(size: size)
    case (nil, let count?, nil): kind = .allocateCounted(count: count, size: size)
    case (let pointer?, nil, nil): kind = .reallocate(pointer: pointer, size: size)
    case (let pointer?, let count?, nil):
      kind = .reallocateCounted(pointer: pointer, count: count, size: size)
    case (nil, nil, let out?): kind = .allocateToPointer(out: out, size: size)
    default:
      throw Refusal(
        "--alloc \(text): 'out' cannot be combined with 'count' or 'ptr'")
    }
    // Nothing is known of the function, so it gets the traits that are right for any.
    function = AllocatorFunction(symbol, kind, [.mayNest, .isAligned])
  }

  /// Parses the value of `--free`.
  package init(parsingFree text: String) throws(Refusal) {
    let (symbol, arguments) = try Self.parse(text, option: "--free", keys: ["ptr"])
    guard let pointer = arguments["ptr"] else {
      throw Refusal("--free \(text): 'ptr=ARG' is missing")
    }
    function = AllocatorFunction(symbol, .free(pointer: pointer))
  }

  private static func parse(
    _ text: String, option: String, keys: [String]
  ) throws(Refusal) -> (symbol: String, arguments: [String: Int]) {
    let help = option == "--alloc" ? allocateHelp : freeHelp
    // The last colon, because C++ names that are not mangled contain colons.
    guard let colon = text.lastIndex(of: ":") else {
      throw Refusal("\(option) \(text): no ':'; expected \(help)")
    }
    let symbol = String(text[..<colon])
    guard !symbol.isEmpty else {
      throw Refusal("\(option) \(text): no symbol before ':'; expected \(help)")
    }
    var arguments: [String: Int] = [:]
    for part in text[text.index(after: colon)...].split(
      separator: ",", omittingEmptySubsequences: false)
    {
      let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2 else {
        throw Refusal(
          "\(option) \(text): '\(part)' is not KEY=ARG; expected \(help)")
      }
      let key = String(sides[0])
      guard keys.contains(key) else {
        throw Refusal(
          "\(option) \(text): unknown key '\(key)'; known: \(keys.joined(separator: ", "))")
      }
      guard arguments[key] == nil else {
        throw Refusal("\(option) \(text): '\(key)' is given twice")
      }
      let number = sides[1].hasPrefix("arg") ? sides[1].dropFirst(3) : sides[1]
      guard let index = Int(number), (1...6).contains(index) else {
        throw Refusal(
          "\(option) \(text): '\(sides[1])' is no argument number; use 1 to 6")
      }
      guard !arguments.values.contains(index - 1) else {
        throw Refusal("\(option) \(text): argument \(index) is used twice")
      }
      arguments[key] = index - 1
    }
    return (symbol, arguments)
  }
}
