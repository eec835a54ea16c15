import Testing

@testable import KernelTracing

/// Courses that callers take, a level a second.
@Suite struct SuspectChoiceTests {
  private typealias Level = SuspectChoice<Int>.Level

  /// Suspects after each look at one caller; `turnover` blocks are allocated and freed again between two looks.
  private func course(_ levels: [UInt64], turnover: UInt64 = 0, isExempt: Bool = false) -> [Bool] {
    var choice = SuspectChoice<Int>()
    var allocated: UInt64 = 0
    var last: UInt64 = 0
    return levels.map { bytes in
      allocated += turnover + (bytes > last ? (bytes - last) / 64 : 0)
      last = bytes
      let level = Level(bytes: bytes, count: bytes / 64, allocatedCount: allocated, isExempt: isExempt)
      return choice.suspects([1: level]).contains(1)
    }
  }

  @Test func growthIsSuspectWithinSeconds() {
    #expect(course((0..<4).map { $0 * 8192 }) == [false, true, true, true])
  }

  /// 64 bytes a second: slower than the allocators' own play in any few seconds.
  @Test func slowGrowthTakesLonger() {
    let result = course((0..<20).map { 1000 + $0 * 64 })
    #expect(!result[4])
    #expect(result[19])
  }

  @Test func aLevelIsNone() {
    let flat = course([UInt64](repeating: 1 << 20, count: 60))
    #expect(!flat.contains(true))
    let sawtooth = course((0..<60).map { $0 % 2 == 0 ? 1 << 20 : 2 << 20 }, turnover: 100_000)
    #expect(!sawtooth.contains(true))
  }

  /// What swings without a crowd around it can be taken for growth only when it has risen once and never fallen.
  @Test func aSwingIsNoneOnceItHasFallen() {
    var history = LevelHistory()
    for look in 0..<40 {
      history.add(look % 2 == 0 ? 1 << 20 : 2 << 20)
      if look >= 2 { #expect(!history.isGrowing && !history.hasGrownSteadily, "look \(look)") }
    }
  }

  /// It shrinks.
  @Test func whatShrinksIsNone() {
    #expect(!course((0..<60).map { (60 - $0) * 4096 }).contains(true))
  }

  /// Rises for a while, and nearly all that is allocated is given back: a level that moves.
  @Test func balancedIsNone() {
    #expect(!course([0, 8192, 16384, 24576, 24576, 24576, 8192], turnover: 100_000).contains(true))
  }

  /// A leak among very many blocks that are given back.
  @Test func aLeakInACrowdIsSuspect() {
    #expect(course((0..<12).map { $0 * 8192 }, turnover: 1_000_000).last == true)
  }

  @Test func reclaimableIsExempt() {
    #expect(!course((0..<30).map { $0 << 20 }, isExempt: true).contains(true))
  }

  /// A cache that has filled costs no more stacks, if they cost much; and is not suspected again for each small step.
  @Test func suspectsAreAcquitted() {
    let levels = (0..<10).map { UInt64($0) << 20 } + [UInt64](repeating: 9 << 20, count: 90)
    let busy = course(levels, turnover: 5000)
    #expect(busy[9])
    #expect(busy.last == false)
    // Seldom used, its stacks cost nothing and are kept.
    #expect(course(levels, turnover: 5).last == true)
  }

  @Test func aLeakIsNeverAcquitted() {
    let result = course((0..<300).map { 4096 + $0 * 4096 }, turnover: 5000)
    #expect(result.dropFirst(12).allSatisfy { $0 })
  }

  /// A caller that comes later held nothing before.
  @Test func newCallersCount() {
    var choice = SuspectChoice<Int>()
    #expect(choice.suspects([:]) == [])
    let level = Level(bytes: 1 << 20, count: 100, allocatedCount: 100, isExempt: false)
    #expect(choice.suspects([7: level]) == [7])
  }

  /// What was there when the trace began says nothing by itself.
  @Test func firstLookSuspectsNobody() {
    var choice = SuspectChoice<Int>()
    let level = Level(bytes: 1 << 20, count: 100, allocatedCount: 100, isExempt: false)
    #expect(choice.suspects([7: level]) == [])
    #expect(choice.suspects([7: level]) == [])
  }

  @Test func onlyTheFastestAreChosen() {
    var choice = SuspectChoice<Int>()
    var suspects: Set<Int> = []
    for look in 0..<4 {
      let levels = (0..<200).map { caller in
        let bytes = UInt64(look) * UInt64(4096 + caller * 64)
        return (caller, Level(bytes: bytes, count: bytes / 64, allocatedCount: bytes / 64, isExempt: false))
      }
      suspects = choice.suspects(Dictionary(uniqueKeysWithValues: levels))
    }
    #expect(suspects == Set(136..<200))
  }

  @Test func emptyHistoryGrowsNowhere() {
    let history = LevelHistory()
    #expect(!history.isGrowing && !history.hasGrownSteadily && !history.hasGrown(inLast: 20) && history.growth == 0)
  }
}
