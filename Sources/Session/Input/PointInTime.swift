import AllocationTracing
import Glibc
import Scheduling
import SystemSupport

/// A moment on the command line: either how long ago it was, or a date and a time in UTC.
package enum PointInTime {
  /// Returns the moment in seconds since 1970.
  package static func parse(_ text: String, now: Double = SystemClock().unixSeconds) throws(Refusal) -> Double {
    if let ago = try? TimeValue.parse(text, plainUnit: .seconds(1)) { return now - ago / .seconds(1) }
    let bytes = Array(text.utf8)
    let pattern = Array("0000-00-00T00:00:00".utf8)
    let isPlain = bytes.count == pattern.count || bytes.count == pattern.count + 1 && bytes.last == UInt8(ascii: "Z")
    let fits = zip(bytes, pattern).allSatisfy { byte, sample in
      sample == UInt8(ascii: "0") ? (0x30...0x39).contains(byte) : byte == sample || sample == 0x54 && byte == 0x20
    }
    guard isPlain, fits else {
      throw Refusal("'\(text)' is no moment: write 2h (ago), or 2026-11-23T08:00:00Z")
    }
    func number(_ range: Range<Int>) -> Int32 { Int32(String(decoding: bytes[range], as: UTF8.self)) ?? 0 }
    var time = tm()
    time.tm_year = number(0..<4) - 1900
    time.tm_mon = number(5..<7) - 1
    time.tm_mday = number(8..<10)
    time.tm_hour = number(11..<13)
    time.tm_min = number(14..<16)
    time.tm_sec = number(17..<19)
    guard (0...11).contains(time.tm_mon), (1...31).contains(time.tm_mday), time.tm_hour < 24, time.tm_min < 60 else {
      throw Refusal("'\(text)' is no date")
    }
    return Double(timegm(&time))
  }
}
