import Quantities
import TraceModel

/// A way to write a comparison of two recordings.
package struct ComparisonFormat: DocumentFormat {
  package let name: String
  package let suffixes: [String]
  package let render: @Sendable (Comparison, TextOptions) -> [UInt8]

  package static let all: [ComparisonFormat] = [
    ComparisonFormat(name: "text", suffixes: ["txt"]) { ComparisonText.render($0, $1) },
    ComparisonFormat(name: "json", suffixes: ["json"]) { comparison, _ in ComparisonJSON.render(comparison) },
    ComparisonFormat(name: "junit", suffixes: ["xml"]) { comparison, _ in ComparisonJUnit.render(comparison) },
    ComparisonFormat(name: "html", suffixes: ["html", "htm"]) { comparison, _ in ComparisonHTML.render(comparison) },
  ]
}

extension Comparison {
  /// The unit of the amounts: bytes per second, or per unit of work.
  var unit: String {
    switch normalization {
    case .perSecond: measure == .outstanding || measure == .lost ? "B per second of tracing" : "B/s"
    case .perWork: "B per unit of work"
    case .perRound(_, let work): work == nil ? "B per round" : "B per unit of work"
    }
  }

  var headline: String {
    let counts = Verdict.allCases.compactMap { verdict -> String? in
      let count = sites.count { $0.verdict == verdict }
      return count == 0 ? nil : "\(groupedNumber(count)) \(verdict.rawValue)"
    }
    let leaking = sites.count(where: \.isLeaking)
    let stacks = "\(leaking) call \(leaking == 1 ? "stack" : "stacks")"
    let result =
      switch (isOfRounds, answer) {
      case (_, .cannotTell): "cannot tell"
      case (false, .nothingLeaks): sites.contains { $0.verdict == .fixed } ? "nothing leaks any more" : "nothing leaks"
      case (false, .leaking): "\(stacks) still leaking"
      case (true, .nothingLeaks): "memory returns, nothing grows with the load"
      case (true, .leaking): "\(stacks) \(leaking == 1 ? "grows" : "grow") with the load"
      }
    return result + (counts.isEmpty ? "" : " (\(counts.joined(separator: ", ")))")
  }

  /// How the rates of a site compare, for people.
  func change(of site: Site) -> String {
    (isOfRounds ? "" : rateText(site.before) + " -> ") + "\(rateText(site.after)) \(unit)"
  }

  var measureWords: String {
    if case .perRound(let count, _) = normalization {
      return "outstanding memory after each of \(counted(count, "round"))"
    }
    return switch measure {
    case .lost: "definitely and indirectly lost memory"
    case .growth: "growth of outstanding memory"
    case .outstanding: "outstanding memory"
    }
  }
}

/// `12.3 [10.1, 14.5]`.
func rateText(_ rate: Comparison.Rate) -> String {
  "\(shortNumber(rate.value)) [\(shortNumber(rate.low)), \(shortNumber(rate.high))]"
}
