import TraceModel

/// A way to write a report: a pure function from the report to bytes.
package struct ReportFormat: Sendable {
  /// As given to `--format`.
  package let name: String
  /// One line for the help text.
  package let summary: String
  /// Ends of file names that mean this format, without the dot; the longest that fits decides.
  package let suffixes: [String]
  package let render: @Sendable (Report, ReportOptions) -> [UInt8]

  package init(
    name: String, summary: String, suffixes: [String] = [],
    render: @escaping @Sendable (Report, ReportOptions) -> [UInt8]
  ) {
    self.name = name
    self.summary = summary
    self.suffixes = suffixes.isEmpty ? [name] : suffixes
    self.render = render
  }
}

/// What formats are told beside the report. Each format uses what it has a place for.
package struct ReportOptions: Sendable {
  package var text: TextOptions
  package init(text: TextOptions = TextOptions()) { self.text = text }
}

/// Every format there is. A new one is a file of its own and a line here.
package enum ReportFormats {
  package static let all: [ReportFormat] = [
    TextReport.format, JSONReport.format, PprofReport.format, FoldedReport.format, FlameGraphReport.format,
    SpeedscopeReport.format, MassifReport.format, HeaptrackReport.format, GperftoolsReport.format,
    ValgrindReport.format, CSVReport.format, HTMLReport.format,
  ]

  package static func named(_ name: String) -> ReportFormat? { all.first { $0.name == name } }

  /// The format that a file's name asks for, or nil.
  package static func forFile(_ path: String) -> ReportFormat? {
    let candidates = all.flatMap { format in format.suffixes.map { (format, $0) } }
    return candidates.filter { path.hasSuffix("." + $0.1) }.max { $0.1.utf8.count < $1.1.utf8.count }?.0
  }
}
