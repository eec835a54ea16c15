import AllocationTracing
import Session
import SystemSupport
import Testing

struct PointInTimeTests {
  private let now = 1_795_000_000.0

  @Test(arguments: [
    ("2h", 7200.0), ("30m", 1800), ("90", 90), ("1d", 86400), ("500ms", 0.5), ("0", 0), ("1.5h", 5400),
  ])
  func aLengthOfTimeIsSoLongAgo(text: String, seconds: Double) throws {
    #expect(try PointInTime.parse(text, now: now) == now - seconds)
  }

  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0.0), ("2026-11-23T08:00:00Z", 1_795_420_800), ("2026-11-23T08:00:00", 1_795_420_800),
    ("2026-11-23 08:00:00", 1_795_420_800), ("2024-02-29T23:59:59Z", 1_709_251_199),
  ])
  func aDateIsTakenAsUTC(text: String, seconds: Double) throws {
    #expect(try PointInTime.parse(text, now: now) == seconds)
  }

  @Test(arguments: [
    "", "yesterday", "2026-11-23", "2026-11-23T08:00", "2026-11-23T08:00:00+01:00", "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z", "2026-01-01x00:00:00Z", "-2h", "nan", "2026-1-01T00:00:00Z",
  ])
  func whatIsNoMomentIsRefused(text: String) {
    #expect(throws: Refusal.self) { try PointInTime.parse(text, now: now) }
  }

  @Test func withoutAClockItIsNow() throws {
    let hourAgo = try PointInTime.parse("1h")
    #expect(hourAgo > 1_700_000_000)
    #expect(try abs(PointInTime.parse("0s") - hourAgo - 3600) < 60)
  }
}
