import AllocationTracing
import Testing

@Suite struct TraceNotesTests {
  /// A note for each of 123 children that were not followed hid the report.
  @Test func sentencesOfAKindAreCounted() {
    let notes = TraceNotes()
    notes.add("first")
    for child in 1...123 { notes.add("child \(child): why", of: "children that were not followed") }
    notes.add("other: why", of: "others")
    notes.addOnce("first")
    #expect(
      notes.sentences == [
        "first", "child 1: why", "child 2: why", "child 3: why", "other: why",
        "children that were not followed: 120 more, for reasons like those above",
      ])
  }
}
