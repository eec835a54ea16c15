/// Why something cannot be traced: one line that says what, which target, why and what to do next.
package struct TraceError: Error, CustomStringConvertible, Sendable {
  package var description: String
  package init(_ description: String) { self.description = description }
}
