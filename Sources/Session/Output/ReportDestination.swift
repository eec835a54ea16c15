import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

/// Where one copy of every report goes.
package final class ReportDestination {
  package let format: ReportFormat
  /// nil: standard output.
  package let path: String?
  private var descriptor: Int32 = STDOUT_FILENO

  package init(format: ReportFormat, path: String?) {
    self.format = format
    self.path = path == "-" ? nil : path
  }

  /// Pairs of --format and --output in their order.
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

  package var isText: Bool { format.name == "text" }

  /// Creates the file, so that a path that cannot be written is found before anything is traced.
  package func open() throws(Refusal) {
    descriptor = try openOutput(path)
  }

  /// Writes one report. A full disk or a reader that is gone is an error.
  package func write(_ report: Report, options: ReportOptions) throws(Refusal) {
    try write(format.render(report, options))
  }

  package func write(_ bytes: [UInt8]) throws(Refusal) {
    guard writeAll(bytes, to: descriptor) else {
      throw Refusal(
        "the report cannot be written to \(path ?? "standard output"): \(errorMessage(errno))")
    }
  }
}

/// The file of an `--output`, readable for its owner only; nil and `-` are standard output.
package func openOutput(_ path: String?) throws(Refusal) -> Int32 {
  guard let path, path != "-" else { return STDOUT_FILENO }
  let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
  guard descriptor >= 0 else {
    throw Refusal("--output \(path) cannot be written: \(errorMessage(errno))")
  }
  return descriptor
}
