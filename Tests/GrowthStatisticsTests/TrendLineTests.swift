import TestTools
import Testing

@testable import GrowthStatistics

@Suite struct TrendLineTests {
  @Test func exactLine() throws {
    let x = (0..<20).map { Double($0) * 0.5 }
    let line = try #require(TrendLine(x: x, y: x.map { 3 * $0 - 7 }))
    #expect(abs(line.slope - 3) < 1e-12 && abs(line.lower - 3) < 1e-9 && abs(line.upper - 3) < 1e-9)
  }

  @Test func levelSeries() throws {
    let line = try #require(TrendLine(x: [0, 1, 2, 3], y: [5, 5, 5, 5]))
    #expect(line.slope == 0 && line.lower == 0 && line.upper == 0)
  }

  /// The slope of an even number of pairs is between the two in the middle; sorted: 1, 1.5, 2, 3, 3.5, 4.
  @Test func medianOfPairs() throws {
    let line = try #require(TrendLine(x: [0, 1, 2, 4], y: [0, 1, 4, 8], allowsForMemory: false))
    // Pairs: 1, 2, 2, 3, 7/3, 2.
    #expect(line.slope == 2)
  }

  /// Sen's interval by hand: 10 points of which the ranks alternate. N = 45, Var(S) = 10·9·25/18 = 125,
  /// C = 1.959964·√125 = 21.9; the 11th least and the 35th least slope bound it.
  @Test func senInterval() throws {
    let x = (0..<10).map(Double.init)
    let y: [Double] = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]
    var slopes: [Double] = []
    for first in 0..<10 {
      for second in first + 1..<10 { slopes.append((y[second] - y[first]) / (x[second] - x[first])) }
    }
    slopes.sort()
    let line = try #require(TrendLine(x: x, y: y, allowsForMemory: false))
    #expect(line.slope == slopes[22])
    #expect(line.lower == slopes[10] && line.upper == slopes[34])
  }

  @Test func outliersDoNotMoveIt() throws {
    var y = (0..<40).map { Double($0) }
    y[0] = 1e9
    y[17] = -1e9
    let line = try #require(TrendLine(x: (0..<40).map(Double.init), y: y))
    #expect(abs(line.slope - 1) < 1e-9)
  }

  /// At 95 % confidence some 5 in 100 intervals miss the truth, not many more; for independent noise and for a random
  /// walk, whose points depend on each other.
  @Test(arguments: [false, true]) func coverage(isWalk: Bool) throws {
    var random = SplitMix64(state: 11)
    let x = (0..<48).map(Double.init)
    var missed = 0
    for _ in 0..<200 {
      var level = 0.0
      let y = x.map { _ -> Double in
        let step = (0..<12).reduce(-6.0) { sum, _ in sum + Double.random(in: 0..<1, using: &random) }
        level = isWalk ? level + step : step
        return level
      }
      let line = try #require(TrendLine(x: x, y: y))
      if line.lower > 0 || line.upper < 0 { missed += 1 }
    }
    #expect(missed <= 16, "\(missed) of 200")
  }

  @Test func tooFewPoints() {
    #expect(TrendLine(x: [0, 1], y: [0, 1]) == nil)
    #expect(TrendLine(x: [0, 1, 2], y: [0, 1]) == nil)
  }

  @Test func selection() {
    var random = SplitMix64(state: 3)
    for count in [1, 2, 3, 10, 257] {
      let values = (0..<count).map { _ in Double.random(in: 0..<20, using: &random).rounded() }
      let sorted = values.sorted()
      for place in 0..<count {
        var copy = values
        #expect(copy.selected(place) == sorted[place])
        #expect(copy[..<place].allSatisfy { $0 <= sorted[place] } && copy[place...].allSatisfy { $0 >= sorted[place] })
      }
    }
  }
}
