/// Sentences for the report, in the order in which they came up.
final class TraceNotes {
  private(set) var sentences: [String] = []

  func add(_ sentence: String) { sentences.append(sentence) }

  /// Adds what has not been said already.
  func addOnce(_ sentence: String) {
    if !sentences.contains(sentence) { sentences.append(sentence) }
  }
}
