import TraceModel

/// A way to write a report: a pure function from the report to bytes.
package struct ReportFormat: DocumentFormat {
  /// As given to `--format`.
  package let name: String
  /// One line for the help text.
  package let summary: String
  /// Ends of file names that mean this format, without the dot; the longest that fits decides.
  package let suffixes: [String]
  /// How many sites are shown unless told otherwise; nil: all, which is what programs want.
  package let usualSites: Int?
  package let render: @Sendable (Report, ReportOptions) -> [UInt8]

  package init(
    name: String, summary: String, suffixes: [String] = [], usualSites: Int? = nil,
    render: @escaping @Sendable (Report, ReportOptions) -> [UInt8]
  ) {
    self.name = name
    self.summary = summary
    self.suffixes = suffixes.isEmpty ? [name] : suffixes
    self.usualSites = usualSites
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

  package static func named(_ name: String) -> ReportFormat? { all.named(name) }

  /// The format that a file's name asks for, or nil.
  package static func forFile(_ path: String) -> ReportFormat? { all.forFile(path) }
}
