import CLibBPF
import Glibc
import SystemSupport

/// A refused BPF operation: what was tried, the error number, and what libbpf and the verifier said.
package struct BPFError: UserFacingError {
  /// What was tried, for example `load allocate_session`.
  package var operation: String
  /// errno of the refusal, positive.
  package var code: Int32
  /// libbpf's messages and the verifier's log, empty when there were none.
  package var log: String

  package init(operation: String, code: Int32, log: String = "") {
    self.operation = operation
    self.code = code
    self.log = log
  }

  package var description: String {
    let reason = errorMessage(code)
    // The verifier's reason is in the last lines, before what it counted.
    let detail = log.split(separator: "\n").last { line in !Self.noise.contains { line.contains($0) } } ?? ""
    return detail.isEmpty ? "\(operation): \(reason)" : "\(operation): \(reason) (\(detail))"
  }

  private static let noise = [
    "failed to load", "PROG LOAD LOG", "verification time", "stack depth", "processed ", "libbpf: failed",
  ]

  /// Takes what libbpf logged since the last call.
  static func takeLog() -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 16) { buffer in
      _ = clibbpf_take_log(buffer.baseAddress!, buffer.count)
      return String(cString: buffer.baseAddress!)
    }
  }
}
