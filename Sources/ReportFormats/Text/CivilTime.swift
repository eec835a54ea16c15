/// Calendar date and time of day of a moment, in the proleptic Gregorian calendar.
struct CivilTime {
  var year: Int
  var month: Int
  var day: Int
  var hour: Int
  var minute: Int
  var second: Int
  var millisecond: Int

  /// nil for moments outside the years 1 to 9999 and for values that are no number.
  init?(unixSeconds: Double) {
    guard unixSeconds.isFinite, unixSeconds > -62_135_596_800, unixSeconds < 253_402_300_800 else {
      return nil
    }
    let milliseconds = Int((unixSeconds * 1000).rounded(.down))
    let seconds = Self.floorDivide(milliseconds, 1000)
    let days = Self.floorDivide(seconds, 86400)
    let timeOfDay = seconds - days * 86400
    millisecond = milliseconds - seconds * 1000
    hour = timeOfDay / 3600
    minute = timeOfDay / 60 % 60
    second = timeOfDay % 60
    // Days to date, with years that begin in March so that the leap day comes last.
    let shifted = days + 719_468
    let era = Self.floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  private static func floorDivide(_ value: Int, _ divisor: Int) -> Int {
    value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor)
  }

  var date: String { "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))" }
  var time: String { "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))" }

  private func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  var millisecondText: String { padded(millisecond, 3) }
}

/// A moment as RFC 3339 has it, in UTC; nil when it is no date.
package func timestamp(_ unixSeconds: Double) -> String? {
  CivilTime(unixSeconds: unixSeconds).map { "\($0.date)T\($0.time).\($0.millisecondText)Z" }
}
