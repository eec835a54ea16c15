import Glibc

/// The C library's text for an `errno` value.
package func errorMessage(_ code: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 128)
  // The XSI variant fills the buffer, the GNU one may return a constant string; Swift imports the XSI one.
  guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
