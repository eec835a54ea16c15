import SystemSupport
import TraceModel

/// Reads profiles of any form that we know. The form is told by the content, not by the file's name.
package enum ProfileFile {
  package static func report(from bytes: [UInt8]) throws(Refusal) -> Report {
    if bytes.isEmpty { throw Refusal("the file is empty") }
    if GperftoolsReader.isProfile(bytes) { return try GperftoolsReader.report(from: bytes) }
    if JSONReportReader.isReport(bytes) { return try JSONReportReader.report(from: bytes) }
    return try PprofReader.report(from: bytes)
  }
}
