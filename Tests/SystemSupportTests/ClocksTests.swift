import Glibc
import Testing

@testable import SystemSupport

@Suite struct ClocksTests {
  @Test func monotonicTimeRises() {
    let first = monotonicNanoseconds()
    let seconds = monotonicSeconds()
    let second = monotonicNanoseconds()
    #expect(first <= second)
    #expect(Double(first) / 1e9 <= seconds && seconds <= Double(second) / 1e9)
  }

  @Test func wallClock() {
    let now = Double(Glibc.time(nil))
    #expect(abs(unixSeconds() - now) < 5)
  }

  @Test func processorTime() throws {
    let before = processSeconds()
    let ofUs = try #require(cpuSeconds(ofProcess: getpid()))
    // Other tests may have ended processes that worked for us meanwhile, whose time is in the first figure only.
    #expect(before > 0 && ofUs + HelperTime.seconds >= before)
    // Process 0 is whoever asks; a negative number is nobody.
    #expect(cpuSeconds(ofProcess: -4) == nil)
  }
}
