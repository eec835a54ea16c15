/// Sentences for the report, in the order in which they came up. Of sentences that tell the same of one process after the other
/// only the first few are kept, and the others counted.
package final class TraceNotes {
  private var kept: [String] = []
  private var alike: [(kind: String, count: Int)] = []
  /// So many sentences of a kind are kept.
  private static let mostAlike = 3

  package init() {}

  package var sentences: [String] {
    kept
      + alike.compactMap { kind, count in
        count > Self.mostAlike ? "\(kind): \(count - Self.mostAlike) more, for reasons like those above" : nil
      }
  }

  package func add(_ sentence: String) { kept.append(sentence) }

  /// Adds what has not been said already.
  package func addOnce(_ sentence: String) {
    if !kept.contains(sentence) { kept.append(sentence) }
  }

  /// Adds one of possibly very many sentences.
  ///
  /// - Parameter kind: what they have in common, such as `child processes that were not followed`.
  package func add(_ sentence: String, of kind: String) {
    let place = alike.firstIndex { $0.kind == kind } ?? alike.count
    if place == alike.count { alike.append((kind, 0)) }
    alike[place].count += 1
    if alike[place].count <= Self.mostAlike { kept.append(sentence) }
  }
}
