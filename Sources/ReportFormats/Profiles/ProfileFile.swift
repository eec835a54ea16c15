import SystemSupport
import TraceModel

/// Reads profiles whatever their form: by what is in them, not by their names.
package enum ProfileFile {
  package static func report(from bytes: [UInt8]) throws(Refusal) -> Report {
    if bytes.isEmpty { throw Refusal("the file is empty") }
    if GperftoolsReader.isProfile(bytes) { return try GperftoolsReader.report(from: bytes) }
    return try PprofReader.report(from: bytes)
  }
}
