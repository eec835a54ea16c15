/// Columns of text with their titles, fitted to a width: one column gives way.
struct TextTable {
  enum Alignment {
    case right
    /// - most: characters; longer text loses its end.
    case left(most: Int)
    /// Takes the room that is left.
    case flexible
  }

  /// A name with a tail. Where there is too little room the name loses its beginning: namespaces tell least.
  struct Cell {
    var text: String
    var tail = ""

    /// - Parameter keepsBeginning: for words, whose end tells least.
    func fitted(_ width: Int, keepsBeginning: Bool) -> String {
      let whole = text + tail
      if whole.count <= width { return whole }
      if !keepsBeginning, tail.count + 8 <= width { return "…" + String(text.suffix(width - tail.count - 1)) + tail }
      return String(whole.prefix(max(0, width - 1))) + "…"
    }
  }

  private struct Column {
    var alignment: Alignment
    var title: String
    var cells: [Cell]
  }
  private var columns: [Column] = []

  mutating func add(_ alignment: Alignment, _ title: String, _ cells: [String]) {
    add(alignment, title, cells.map { Cell(text: $0) })
  }

  mutating func add(_ alignment: Alignment, _ title: String, _ cells: [Cell]) {
    columns.append(Column(alignment: alignment, title: title, cells: cells))
  }

  /// The title and a line for each row.
  func lines(width: Int) -> [String] {
    let gap = 2
    var widths = columns.map { column -> Int in
      let natural = max(column.title.count, column.cells.map { $0.text.count + $0.tail.count }.max() ?? 0)
      if case .left(let most) = column.alignment { return min(natural, max(most, column.title.count)) }
      return natural
    }
    let others = zip(columns, widths).reduce(0) { sum, next in
      if case .flexible = next.0.alignment { return sum }
      return sum + next.1
    }
    for (index, column) in columns.enumerated() {
      if case .flexible = column.alignment {
        widths[index] = min(widths[index], max(16, width - others - gap * (columns.count - 1)))
      }
    }
    let rows = columns.first?.cells.count ?? 0
    var lines = [line(columns.map { Cell(text: $0.title) }, widths, gap)]
    for row in 0..<rows { lines.append(line(columns.map { $0.cells[row] }, widths, gap)) }
    return lines
  }

  private func line(_ cells: [Cell], _ widths: [Int], _ gap: Int) -> String {
    var text = ""
    for (index, cell) in cells.enumerated() {
      var isOfWords = false
      if case .left = columns[index].alignment { isOfWords = true }
      let fitted = cell.fitted(widths[index], keepsBeginning: isOfWords)
      let padding = String(repeating: " ", count: max(0, widths[index] - fitted.count))
      if case .right = columns[index].alignment { text += padding + fitted } else { text += fitted + padding }
      if index < cells.count - 1 { text += String(repeating: " ", count: gap) }
    }
    while text.last == " " { text.removeLast() }
    return text
  }
}
