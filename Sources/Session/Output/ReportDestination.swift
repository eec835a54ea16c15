import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

/// A place to which every report is written, and the format in which.
package final class ReportDestination {
  package let format: ReportFormat
  /// The path of the file; nil: standard output.
  package let path: String?
  private var descriptor: Int32 = STDOUT_FILENO

  package init(format: ReportFormat, path: String?) {
    self.format = format
    self.path = path == "-" ? nil : path
  }

  /// The destinations that the options name: each --format belongs to the --output at the same position.
  package static func pairs(formats: [String], outputs: [String]) throws(Refusal) -> [ReportDestination] {
    if outputs.count > 1, formats.count > outputs.count {
      throw Refusal("every --format needs its --output when there are several")
    }
    var result: [ReportDestination] = []
    for index in 0..<max(1, formats.count, outputs.count) {
      let path = index < outputs.count ? outputs[index] : nil
      let name = index < formats.count ? formats[index] : nil
      let format: ReportFormat
      if name == nil, let path, path != "-" {
        guard let found = ReportFormats.all.forFile(path) else {
          throw Refusal("--output \(path): which format? There is \(ReportFormats.all.names)")
        }
        format = found
      } else {
        do { format = try ReportFormats.all.chosen(name) } catch { throw Refusal("\(error)") }
      }
      result.append(ReportDestination(format: format, path: path))
    }
    return result
  }

  package var isText: Bool { format.name == "text" || format.name == "memleak" }

  /// The pager that text on a terminal goes through; nil: none.
  package var pager: String?

  /// Creates the file. This is done first, so that a path that cannot be written is reported before anything is traced.
  package func open() throws(Refusal) {
    descriptor = try openOutput(path)
  }

  /// Writes one report. It is an error if the disk is full or the reader is gone.
  package func write(_ report: Report, options: ReportOptions) throws(Refusal) {
    try write(format.render(report, options))
  }

  package func write(_ bytes: [UInt8]) throws(Refusal) {
    if path == nil, isText, let pager, Pager.show(bytes, with: pager) { return }
    guard writeAll(bytes, to: descriptor) else {
      throw Refusal(
        "the report cannot be written to \(path ?? "standard output"): \(errorMessage(errno))")
    }
  }
}

/// Opens the file of an `--output`, which only its owner can read: see ``OutputFile``. nil and `-` stand for standard output.
package func openOutput(_ path: String?) throws(Refusal) -> Int32 {
  guard let path, path != "-" else { return STDOUT_FILENO }
  do throws(Refusal) { return try OutputFile.open(path) } catch {
    throw Refusal("--output \(path) cannot be written: \(error)")
  }
}
