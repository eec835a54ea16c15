import Glibc
import SystemSupport
import TextOutput

/// Writes one line, with the name of the program before it, to standard error.
package func complain(_ message: String) {
  let line = message.split(separator: "\n").first.map(String.init) ?? "failed"
  writeAll("leaktrace: \(escapedForTerminal(line))\n", to: STDERR_FILENO)
}

/// Writes all bytes to standard output. Throws when they cannot be written: the disk is full, or the reader is gone.
package func printAll(_ bytes: [UInt8]) throws(Refusal) {
  guard writeAll(bytes, to: STDOUT_FILENO) else {
    throw Refusal("standard output cannot be written: \(errorMessage(errno))")
  }
}

/// Writes all of `text`. Returns false if the reader is gone.
@discardableResult
package func writeAll(_ text: String, to descriptor: Int32) -> Bool { writeAll(Array(text.utf8), to: descriptor) }

/// Writes all bytes. Returns false if that was not possible; `errno` then says why.
@discardableResult
package func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
  let code = writeWhole(bytes, to: descriptor)
  errno = code
  return code == 0
}
