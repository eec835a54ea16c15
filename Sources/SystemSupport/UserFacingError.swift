/// An error that people read. Its description is one line that says what failed, on which target, why, and, where there is
/// something, what to do next.
package protocol UserFacingError: Error, CustomStringConvertible, Sendable {}

/// Something that was asked for and cannot be done. The line says all there is to say: nobody tells one refusal from
/// another.
package struct Refusal: UserFacingError, Hashable {
  package let description: String

  package init(_ description: String) { self.description = description }
}
