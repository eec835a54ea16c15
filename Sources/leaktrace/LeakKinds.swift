import ArgumentParser
import LeakAnalysis
import TraceModel

/// A set of kinds of leak. It is written with the names that memcheck's `--show-leak-kinds` uses.
struct LeakKinds: Equatable {
  var kinds: Set<VerdictKind>
  /// Whether stacks that grow are meant, too, whatever reaches their blocks.
  var includesGrowing: Bool

  /// The kinds that memcheck counts as errors, and what grows.
  static let errors = LeakKinds(kinds: [.definitelyLost, .possiblyLost], includesGrowing: true)

  private static let growing = "growing"
  static let words = VerdictKind.checked.map(\.optionName) + [growing, "all", "none"]

  init(kinds: Set<VerdictKind>, includesGrowing: Bool) {
    self.kinds = kinds
    self.includesGrowing = includesGrowing
  }

  init(parsing argument: String) throws {
    let names = argument.split(separator: ",", omittingEmptySubsequences: false)
    let others = names.filter { $0.filter { $0 != " " && $0 != "\t" } != Self.growing }
    includesGrowing = others.count < names.count || argument == "all"
    do { kinds = others.isEmpty ? [] : try VerdictKind.parse(list: others.joined(separator: ",")) } catch {
      throw ValidationError("'\(error.name)' is none of \(Self.words.joined(separator: ", "))")
    }
  }

  var names: String {
    let names = VerdictKind.checked.filter(kinds.contains).map(\.optionName) + (includesGrowing ? [Self.growing] : [])
    return names.isEmpty ? "none" : names.joined(separator: ",")
  }
}

/// Which roots a check uses: either only those that are named, or all except those that are named with `no-` before
/// them.
struct RootSelection {
  var policy: RootPolicy

  private static let byName: [(String, RootPolicy)] = [
    ("globals", .globals), ("stacks", .stacks), ("registers", .registers), ("tls", .threadLocals),
    ("anonymous", .anonymous), ("heap", .unknownHeap), ("interpreters", .interpreterHeaps), ("kernel", .kernel),
  ]
  private static let names = byName.map(\.0).joined(separator: ", ")
  static let help =
    "Where a check looks for pointers into blocks: a list of \(names); all, none; or of some to leave out, "
    + "as in no-stacks. Default all."

  private static func named(_ name: some StringProtocol) -> RootPolicy? { byName.first { $0.0 == name }?.1 }

  init(parsing argument: String) throws {
    let names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if names == ["none"] {
      policy = []
      return
    }
    policy = names.allSatisfy { $0.hasPrefix("no-") } ? .all : []
    for name in names {
      if name == "all" {
        policy = .all
      } else if let known = Self.named(name) {
        policy.formUnion(known)
      } else if name.hasPrefix("no-"), let known = Self.named(name.dropFirst(3)) {
        policy.subtract(known)
      } else {
        throw ValidationError("'\(name)' is none of \(Self.names), all, none, and these with no- before them")
      }
    }
  }
}

/// What `--explain` is given: the address of a block, or a stack of the report by its number or by a function on it.
enum ExplainedThing: Equatable {
  case block(HexadecimalAddress)
  case stack(String)

  /// `0x` or at least seven hexadecimal digits are an address, as reports have them.
  init(parsing argument: String) throws {
    if argument.hasPrefix("0x") || argument.hasPrefix("0X") || argument.count >= 7 && argument.allSatisfy(\.isHexDigit)
    {
      self = .block(try HexadecimalAddress(parsing: argument))
      return
    }
    let name = argument.hasPrefix("#") ? String(argument.dropFirst()) : argument
    guard !name.isEmpty else {
      throw ValidationError("--explain: an address, the number of a stack, or the name of a function")
    }
    self = .stack(name)
  }
}

/// An address in the form in which reports print it: hexadecimal digits, with or without `0x`.
struct HexadecimalAddress: Equatable {
  var value: UInt64

  init(parsing argument: String) throws {
    let digits = argument.hasPrefix("0x") || argument.hasPrefix("0X") ? argument.dropFirst(2) : argument[...]
    guard !digits.isEmpty, digits.allSatisfy(\.isHexDigit), let value = UInt64(digits, radix: 16) else {
      throw ValidationError("an address is up to 16 hexadecimal digits, as the report has it")
    }
    self.value = value
  }
}
