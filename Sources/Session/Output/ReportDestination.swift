import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

extension ReportFormats {
  /// The names of all formats, for messages.
  package static var names: String { all.map(\.name).joined(separator: ", ") }

  /// The format asked for by name, or else by the file's suffix, or else text.
  static func format(named name: String?, path: String?) -> ReportFormat? {
    if let name { return named(name) }
    guard let path, path != "-" else { return named("text") }
    return forFile(path)
  }
}

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
  package static func pairs(formats: [String], outputs: [String]) throws(TraceError) -> [ReportDestination] {
    if outputs.count > 1, formats.count > outputs.count {
      throw TraceError("every --format needs its --output when there are several")
    }
    var result: [ReportDestination] = []
    for index in 0..<max(1, formats.count, outputs.count) {
      let path = index < outputs.count ? outputs[index] : nil
      let name = index < formats.count ? formats[index] : nil
      guard let format = ReportFormats.format(named: name, path: path) else {
        throw TraceError(
          name.map { "--format \($0): there is \(ReportFormats.names)" }
            ?? "--output \(path ?? ""): which format? There is \(ReportFormats.names)")
      }
      result.append(ReportDestination(format: format, path: path))
    }
    return result
  }

  package var isText: Bool { format.name == "text" }

  /// Creates the file, so that a path that cannot be written is found before anything is traced.
  package func open() throws(TraceError) {
    guard let path else { return }
    descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw TraceError("--output \(path) cannot be written: \(errorMessage(errno))")
    }
  }

  /// Writes one report. A full disk or a reader that is gone is an error.
  package func write(_ report: Report, options: ReportOptions) throws(TraceError) {
    try write(format.render(report, options))
  }

  package func write(_ bytes: [UInt8]) throws(TraceError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress! + written, bytes.count - written)
      }
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      guard count > 0 else {
        throw TraceError(
          "the report cannot be written to \(path ?? "standard output"): \(errorMessage(errno))")
      }
      written += count
    }
  }
}
