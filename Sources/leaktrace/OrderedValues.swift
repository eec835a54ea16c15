import ArgumentParser
import ReportFormats

/// The value of an option whose place among other options matters: which --format belongs to which --output.
///
/// The argument parser gives the values of one option in their order, but not their order among those of another. So each
/// value gets its place in front before the arguments are parsed.
struct OrderedValue: ExpressibleByArgument {
  var place: Int
  var text: String

  init?(argument: String) {
    let parts = argument.split(separator: Self.separator, maxSplits: 2, omittingEmptySubsequences: false)
    if parts.count == 3, parts[0].isEmpty, let place = Int(parts[1]) {
      self.place = place
      text = String(parts[2])
    } else {
      place = 0
      text = argument
    }
  }

  private static let separator: Character = "\u{1}"
  private static let options = ["--format", "--output"]

  /// The same arguments with the places of those values.
  static func marked(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var rest = arguments[...]
    var place = 0
    while let argument = rest.popFirst() {
      // The arguments after `--` belong to the command that is traced.
      if argument == "--" { return result + [argument] + rest }
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first, options.contains(String(name)) else {
        result.append(argument)
        continue
      }
      guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else { return result + [argument] }
      place += 1
      result.append("\(name)=\(separator)\(place)\(separator)\(value)")
    }
    return result
  }

  /// The values of both options in the order of the command line.
  static func words(formats: [OrderedValue], outputs: [OrderedValue]) -> [OutputPairing.Word] {
    let words =
      formats.map { ($0.place, OutputPairing.Word.format($0.text)) } + outputs.map { ($0.place, .output($0.text)) }
    return words.sorted { $0.0 < $1.0 }.map(\.1)
  }
}

/// Process ids, one or several with commas between them.
struct ProcessIDs: ExpressibleByArgument {
  var values: [Int32]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int32($0) }
    guard !parts.contains(nil) else { return nil }
    values = parts.compactMap(\.self)
  }

  init(_ values: [Int32]) { self.values = values }
}
