import ArgumentParser
import Watch

/// Those options of `leaktrace watch` that are settings of the watch: one for each ``WatchOption``.
///
/// The argument parser finds options by reflection: it looks at the properties of a value. Here the properties are made
/// from the table of settings, so that each setting is written down only once.
struct WatchSettings: ParsableArguments, CustomReflectable {
  /// The options that were given on the command line, in the order of the table.
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
