/// Allows long options whose value may be left out: `--leak-check` stands for `--leak-check=full`.
///
/// The argument parser only knows options with a value and flags without one. Therefore the missing value is inserted
/// before it parses the arguments. The word that follows the option is taken for its value only if it is one of the
/// words that the option knows; an INTERVAL, for example, is not.
enum OptionalValues {
  struct Option {
    var name: String
    var assumed: String
    /// The words that are taken for the value if they follow as an argument of their own.
    var words: [String]
  }

  static let options = [
    Option(name: "--leak-check", assumed: LeakCheckMode.full.rawValue, words: LeakCheckMode.allCases.map(\.rawValue)),
    Option(name: "--fail-on-leak", assumed: LeakKinds.errors.names, words: LeakKinds.words),
    Option(
      name: "--gen-suppressions", assumed: SuppressionSyntax.valgrind.rawValue,
      words: SuppressionSyntax.allCases.map(\.rawValue)),
  ]

  static func filledIn(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      // The arguments after `--` belong to the command that is traced.
      if argument == "--" { return result + [argument] + rest }
      guard let option = options.first(where: { $0.name == argument }) else {
        result.append(argument)
        continue
      }
      var value = option.assumed
      if let next = rest.first, next.split(separator: ",").allSatisfy({ option.words.contains(String($0)) }),
        !next.isEmpty
      {
        value = rest.removeFirst()
      }
      result.append("\(option.name)=\(value)")
    }
    return result
  }
}
