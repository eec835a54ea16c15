import Quantities
import SystemSupport

/// A length of time on the command line: a number, either in the unit that is usual for the option, or followed by
/// `ms`, `s`, `m`, `h` or `d`.
package enum TimeValue {
  package static func parse(_ text: String, plainUnit: Duration) throws(Refusal) -> Duration {
    guard let value = Duration(parsing: text, plainUnit: plainUnit) else {
      throw Refusal("'\(text)' is no length of time: write 5, 500ms, 10s, 2m, 1h or 1d")
    }
    return value
  }
}
