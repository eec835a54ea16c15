import ReportFormats

/// A format in which a diagnosis can be written.
package struct DiagnosisFormat: DocumentFormat {
  package let name: String
  package let suffixes: [String]
  package let render: @Sendable (HostDiagnosis) -> [UInt8]

  package static let all: [DiagnosisFormat] = [
    DiagnosisFormat(name: "text", suffixes: ["txt"]) { Array(DiagnosisReport.text($0).utf8) },
    DiagnosisFormat(name: "json", suffixes: ["json"]) { Array(DiagnosisReport.json($0).utf8) },
  ]
}
