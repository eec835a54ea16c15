/// Finds what a mistyped name may mean.
package enum Spelling {
  /// The names that are near to one, nearest first: few letters differ, or one begins with the other.
  package static func near(_ name: String, among names: some Collection<String>, atMost count: Int = 5) -> [String] {
    let own = Array(name.utf8.prefix(200))
    guard !own.isEmpty else { return [] }
    var found: [(distance: Int, name: String)] = []
    for other in Set(names) where other != name {
      let bytes = Array(other.utf8.prefix(200))
      let isPart = bytes.starts(with: own) || own.count >= 4 && bytes.count >= 4 && own.starts(with: bytes)
      let limit = max(1, own.count / 3)
      guard isPart || abs(bytes.count - own.count) <= limit else { continue }
      let distance = distance(own, bytes)
      if isPart || distance <= limit { found.append((isPart ? min(distance, 1) : distance, other)) }
    }
    return found.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(count).map(\.name)
  }

  /// How many bytes must be changed, added, taken out or exchanged with the next to make one of the other.
  private static func distance(_ one: [UInt8], _ other: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...other.count)
    for (row, byte) in one.enumerated() {
      var next = [row + 1]
      for (column, otherByte) in other.enumerated() {
        var best = min(last[column + 1] + 1, next[column] + 1, last[column] + (byte == otherByte ? 0 : 1))
        if row > 0, column > 0, byte == other[column - 1], one[row - 1] == otherByte {
          best = min(best, beforeLast[column - 1] + 1)
        }
        next.append(best)
      }
      (beforeLast, last) = (last, next)
    }
    return last[other.count]
  }
}
