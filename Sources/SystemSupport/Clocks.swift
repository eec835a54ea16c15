import Glibc

/// CLOCK_MONOTONIC, the clock of the BPF programs.
package func monotonicNanoseconds() -> UInt64 {
  let now = time(of: CLOCK_MONOTONIC)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// CLOCK_MONOTONIC.
package func monotonicSeconds() -> Double { Double(monotonicNanoseconds()) / 1e9 }

/// Seconds since 1970.
package func unixSeconds() -> Double { seconds(time(of: CLOCK_REALTIME)) }

/// CPU seconds of this process so far, all its threads together, and of what worked for it and has ended.
package func processSeconds() -> Double { seconds(time(of: CLOCK_PROCESS_CPUTIME_ID)) + HelperTime.seconds }

/// CPU seconds of another process so far; nil once it has ended.
package func cpuSeconds(ofProcess processID: Int32) -> Double? {
  var clock = clockid_t()
  guard clock_getcpuclockid(processID, &clock) == 0 else { return nil }
  var now = timespec()
  return clock_gettime(clock, &now) == 0 ? seconds(now) : nil
}

private func time(of clock: clockid_t) -> timespec {
  var now = timespec()
  clock_gettime(clock, &now)
  return now
}

private func seconds(_ time: timespec) -> Double { Double(time.tv_sec) + Double(time.tv_nsec) / 1e9 }
