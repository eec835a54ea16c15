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
  /// How many sites it has to be given, however many it shows: it says something of all of them. nil: as many as it shows.
  private let examinedSites: Int?
  /// Whether leaktrace reads it again: then it holds everything, and what is to be shown is chosen when it is shown.
  package let isRecording: Bool
  package let render: @Sendable (Report, ReportOptions) -> [UInt8]

  package init(
    name: String, summary: String, suffixes: [String] = [], usualSites: Int? = nil,
    examinedSites: Int? = nil, isRecording: Bool = false,
    render: @escaping @Sendable (Report, ReportOptions) -> [UInt8]
  ) {
    self.name = name
    self.summary = summary
    self.suffixes = suffixes.isEmpty ? [name] : suffixes
    self.usualSites = usualSites
    self.examinedSites = examinedSites
    self.isRecording = isRecording
    self.render = render
  }

  /// How many sites of a report it is given where `top` are asked for; nil: all.
  package func sites(top: Int?) -> Int? {
    if isRecording { return nil }
    guard let shown = top ?? usualSites else { return nil }
    return max(shown, examinedSites ?? 0)
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
    TextReport.format, MemleakReport.format, JSONReport.format, PprofReport.format, FoldedReport.format,
    FlameGraphReport.format,
    SpeedscopeReport.format, MassifReport.format, HeaptrackReport.format, GperftoolsReport.format,
    ValgrindReport.format, CSVReport.format, HTMLReport.format,
  ]

  package static func named(_ name: String) -> ReportFormat? { all.named(name) }

  /// The format that a file's name asks for, or nil.
  package static func forFile(_ path: String) -> ReportFormat? { all.forFile(path) }
}
