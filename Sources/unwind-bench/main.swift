import Glibc
import ProcessImage

for path in CommandLine.arguments.dropFirst() {
  let clock = ContinuousClock()
  do {
    let file = try ElfFile(path: path)
    for _ in 0..<3 {
      var table: CFITable?
      let time = try clock.measure { table = try CFITable(file: file) }
      if let table {
        print(
          path, table.rows.count, "rows", table.rules.count, "rules", table.blockCount, "blocks",
          table.wordCount * 4, "bytes", time, table.statistics)
      }
    }
  } catch { print(path, error) }
}
