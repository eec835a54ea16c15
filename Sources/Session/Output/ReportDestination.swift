import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

/// A place to which every report is written, and the format in which. A file holds the last report, whole, with the course of
/// the run in it; standard output, pipes and devices get one report after the other.
package final class ReportDestination {
  package let format: ReportFormat
  /// The path of the file; nil: standard output.
  package let path: String?
  private var document: OutputDocument?

  package init(format: ReportFormat, path: String?) {
    self.format = format
    self.path = path == "-" ? nil : path
  }

  /// The destinations that the options name: see ``OutputPairing``.
  package static func all(of words: [OutputPairing.Word]) throws(Refusal) -> [ReportDestination] {
    var result: [ReportDestination] = []
    for pair in OutputPairing.pairs(words) {
      let destination = ReportDestination(
        format: try OutputPairing.format(of: pair, among: ReportFormats.all), path: pair.output)
      if let path = destination.path, result.contains(where: { $0.path == path }) {
        throw Refusal("--output \(path) is named twice")
      }
      result.append(destination)
    }
    return result
  }

  package var isText: Bool { format.name == "text" || format.name == "memleak" }

  /// The pager that text on a terminal goes through; nil: none.
  package var pager: String?

  /// Looks whether the place can be written to. This is done first, so that one that cannot is reported before anything is
  /// traced.
  package func open() throws(Refusal) { document = try openOutput(path) }

  /// Writes one report. It is an error if the disk is full or the reader is gone.
  package func write(_ report: Report, options: ReportOptions) throws(Refusal) {
    try write(format.render(report, options))
  }

  package func write(_ bytes: [UInt8]) throws(Refusal) {
    if path == nil, isText, let pager, Pager.show(bytes, with: pager) { return }
    do throws(Refusal) {
      if document == nil { document = try OutputDocument(path) }
      try document?.write(bytes)
    } catch {
      throw Refusal("the report cannot be written to \(path ?? "standard output"): \(error)")
    }
  }
}

/// Opens the place of an `--output`; a file only its owner can read. nil and `-` stand for standard output.
package func openOutput(_ path: String?) throws(Refusal) -> OutputDocument {
  do throws(Refusal) { return try OutputDocument(path) } catch {
    throw Refusal("--output \(path ?? "-") cannot be written: \(error)")
  }
}
