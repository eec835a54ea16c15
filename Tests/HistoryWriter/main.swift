import Glibc
import History

// Writes to a history without end and prints the number of each write once it is committed. Killed by a test.
let store = try HistoryStore(path: CommandLine.arguments[1])
var number = UInt64(try store.sizes(since: 0).map(\.time).max() ?? 0)
while true {
  number += 1
  // All with the same number or none: half of a write would show.
  try store.saveSizes((0..<50).map { ("process", "\($0)", number) }, at: Double(number))
  let line = "\(number)\n"
  write(STDOUT_FILENO, line, line.utf8.count)
}
