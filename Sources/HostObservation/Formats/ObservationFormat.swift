import ReportFormats

/// A way to write an observation.
package struct ObservationFormat: DocumentFormat {
  package let name: String
  package let suffixes: [String]
  /// How many series are shown unless told otherwise.
  package let usualSeries: Int
  /// The flag says whether growth is drawn with characters that a file had better not have.
  package let render: @Sendable (ObservationReport, Bool) -> [UInt8]

  package static let all: [ObservationFormat] = [
    ObservationFormat(name: "text", suffixes: ["txt"], usualSeries: 15) {
      Array(ObservationText.render($0, sparklines: $1).utf8)
    },
    ObservationFormat(name: "json", suffixes: ["json"], usualSeries: 100) { report, _ in
      ObservationJSON.render(report)
    },
    ObservationFormat(name: "csv", suffixes: ["csv"], usualSeries: 100) { report, _ in
      Array(ObservationJSON.csv(report).utf8)
    },
  ]
}
