import ArgumentParser
import LeakAnalysis
import TraceModel

/// A set of kinds of leak, by the names that memcheck's `--show-leak-kinds` has for them.
struct LeakKinds: Equatable {
  var kinds: Set<VerdictKind>

  /// What memcheck counts as errors.
  static let errors = LeakKinds(kinds: [.definitelyLost, .possiblyLost])

  private static let byName: [(String, VerdictKind)] = [
    ("definite", .definitelyLost), ("indirect", .indirectlyLost), ("possible", .possiblyLost),
    ("reachable", .stillReachable),
  ]

  static let words = byName.map(\.0) + ["all", "none"]

  init(kinds: Set<VerdictKind>) { self.kinds = kinds }

  init(parsing argument: String) throws {
    let names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if names == ["all"] {
      self.init(kinds: Set(Self.byName.map(\.1)))
      return
    }
    if names == ["none"] {
      self.init(kinds: [])
      return
    }
    var kinds: Set<VerdictKind> = []
    for name in names {
      guard let known = Self.byName.first(where: { $0.0 == name }) else {
        throw ValidationError("'\(name)' is none of \(Self.words.joined(separator: ", "))")
      }
      kinds.insert(known.1)
    }
    self.init(kinds: kinds)
  }

  var names: String {
    let names = Self.byName.filter { kinds.contains($0.1) }.map(\.0)
    return names.isEmpty ? "none" : names.joined(separator: ",")
  }
}

/// Which roots a check uses: those named, or all but those named with `no-` before them.
struct RootSelection: Equatable {
  var families: Set<RootFamily>

  static let all = RootSelection(families: Set(RootFamily.allCases))
  static let help =
    "Where a check looks for pointers into blocks: a list of "
    + RootFamily.allCases.map(\.rawValue).joined(separator: ", ")
    + "; all, none; or of some to leave out, as in no-stacks. Default all."

  init(families: Set<RootFamily>) { self.families = families }

  init(parsing argument: String) throws {
    let names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if names == ["none"] {
      self.init(families: [])
      return
    }
    var families: Set<RootFamily> = names.allSatisfy { $0.hasPrefix("no-") } ? Self.all.families : []
    for name in names {
      if name == "all" {
        families = Self.all.families
      } else if let family = RootFamily(rawValue: name) {
        families.insert(family)
      } else if name.hasPrefix("no-"), let family = RootFamily(rawValue: String(name.dropFirst(3))) {
        families.remove(family)
      } else {
        let known = RootFamily.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("'\(name)' is none of \(known), all, none, and these with no- before them")
      }
    }
    self.init(families: families)
  }
}

/// An address as reports print it: hexadecimal digits, with or without `0x`.
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
