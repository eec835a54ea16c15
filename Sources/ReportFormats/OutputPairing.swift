import SystemSupport

/// Which `--format` belongs to which `--output`.
package enum OutputPairing {
  /// One of the two options, in the order of the command line.
  package enum Word: Hashable, Sendable {
    case format(String)
    case output(String)
  }

  /// The one rule, for help texts.
  package static let rule =
    "A --format belongs to the --output that follows it, else to the one before it, other options aside; without one it "
    + "is for standard output. An --output without a --format has the format of its suffix."

  /// The pairs, in order. Without any option there is one: the usual format on standard output.
  package static func pairs(_ words: [Word]) -> [(format: String?, output: String?)] {
    var pairs: [(format: String?, output: String?)] = []
    var pending: String?
    /// Whether the last output can still get a format that follows it.
    var isOpen = false
    for (index, word) in words.enumerated() {
      switch word {
      case .output(let output):
        pairs.append((pending, output))
        isOpen = pending == nil
        pending = nil
      case .format(let format):
        let precedesOutput = index + 1 < words.count && { if case .output = words[index + 1] { true } else { false } }()
        if precedesOutput {
          pending = format
        } else if isOpen {
          pairs[pairs.count - 1].format = format
          isOpen = false
        } else {
          pairs.append((format, nil))
        }
      }
    }
    return pairs.isEmpty ? [(nil, nil)] : pairs
  }

  /// The format of a pair. Throws when there is none, or when the suffix of the output is that of another one.
  package static func format<Format: DocumentFormat>(
    of pair: (format: String?, output: String?), among all: [Format], needsSuffix: Bool = true
  ) throws(Refusal) -> Format {
    let output = pair.output == "-" ? nil : pair.output
    let fitting = output.flatMap { all.forFile($0) }
    guard let name = pair.format else {
      guard let output, needsSuffix, fitting == nil else { return fitting ?? all[0] }
      throw Refusal("--output \(output): which format? There is \(all.names)")
    }
    let chosen: Format
    do throws(UnknownFormat) { chosen = try all.chosen(name) } catch { throw Refusal(error.description) }
    if let output, let fitting, fitting.name != chosen.name {
      throw Refusal(
        "--format \(name) and --output \(output) contradict each other: the suffix is that of \(fitting.name) "
          + "(for standard output, too: --format \(name) --output -)")
    }
    return chosen
  }
}
