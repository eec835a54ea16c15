import Testing

@testable import TraceModel

@Suite struct TallyTests {
  @Test func sums() {
    var tally = Tally(bytes: 64, count: 1)
    tally += Tally(bytes: 36, count: 2)
    #expect(tally == Tally(bytes: 100, count: 3))
  }

  /// The kernel's counters are read one after the other: a difference can be below 0 for a moment.
  @Test func differencesStopAtZero() {
    var tally = Tally(bytes: 64, count: 5)
    tally -= Tally(bytes: 100, count: 2)
    #expect(tally == Tally(bytes: 0, count: 3))
  }

  /// Hostile recordings hold any number.
  @Test func sumsDoNotTrap() {
    var tally = Tally(bytes: .max, count: .max)
    tally += Tally(bytes: 2, count: 2)
    #expect(tally == Tally(bytes: 1, count: 1))
  }
}
