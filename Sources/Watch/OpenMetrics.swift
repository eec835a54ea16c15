import TextOutput

/// Text in the OpenMetrics 1.0 format: families in order, every sample of a family behind its header.
package struct OpenMetrics: Sendable {
  package enum Kind: String, Sendable { case gauge, counter, info }

  private var text = ""
  private var kind = Kind.gauge
  private var name = ""

  package init() {}

  /// Begins a family. A counter is named without `_total`, which its samples get by themselves.
  package mutating func family(_ name: String, _ kind: Kind, unit: String? = nil, _ help: String) {
    self.name = name
    self.kind = kind
    text += "# TYPE \(name) \(kind.rawValue)\n"
    if let unit { text += "# UNIT \(name) \(unit)\n" }
    text += "# HELP \(name) \(escapedForLabel(help))\n"
  }

  package mutating func sample(_ labels: [(String, String)], _ value: Double) {
    let suffix = kind == .counter ? "_total" : kind == .info ? "_info" : ""
    text += name + suffix
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0.0)=\"\(escapedForLabel($0.1))\"" }.joined(separator: ",") + "}"
    }
    text += " \(Self.number(value))\n"
  }

  package mutating func sample(_ labels: [(String, String)], _ value: UInt64) { sample(labels, Double(value)) }
  package mutating func sample(_ value: Double) { sample([], value) }
  package mutating func sample(_ value: UInt64) { sample([], Double(value)) }

  package var document: String { text + "# EOF\n" }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    return "\(value)"
  }
}
