import ArgumentParser
import Watch

/// The options of `leaktrace watch` that are settings of the watch: one for each ``WatchOption``.
///
/// The argument parser learns of options from the properties of a value, which it looks at as a debugger does; these come
/// from the table instead.
struct WatchSettings: ParsableArguments, CustomReflectable {
  /// What was given on the command line, in the order of the table.
  private(set) var given: [(option: WatchOption, values: [String])] = []

  init() {}

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Name.self)
    for option in WatchOption.all {
      let values = try container.decode(Option<[String]>.self, forKey: Name(option.name)).wrappedValue
      if !values.isEmpty { given.append((option, values)) }
    }
  }

  var customMirror: Mirror {
    Mirror(
      self,
      children: WatchOption.all.map { option -> (label: String?, value: Any) in
        let property = Option<[String]>(
          wrappedValue: [], name: .customLong(option.name), help: ArgumentHelp(stringLiteral: option.help))
        return (option.name, property)
      })
  }

  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
  }
}
