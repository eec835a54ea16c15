import AllocationTracing
import Glibc
import HostObservation
import Scheduling
import SystemSupport

/// Carries out one `leaktrace guard`: measures a unit, and limits its memory.
package struct MemoryGuardRun {
  package var unit: String
  /// How long the unit is measured.
  package var duration: Duration
  /// How long the unit shall run before the limit slows it down.
  package var runway: Duration

  package init(unit: String, duration: Duration, runway: Duration) {
    self.unit = unit
    self.duration = duration
    self.runway = runway
  }

  /// Measures the unit and returns the settings for systemd. Throws when the unit does not run, or ends during the
  /// measurement.
  package func measure() throws -> MemoryGuard {
    let sampler = HostSampler()
    let step = max(.milliseconds(250), duration / 60)
    var observer = HostObserver(
      interval: step / .seconds(1), lookback: duration / .seconds(1), ownProcessID: getpid())
    var path: String?
    let loop = EventLoop()
    let end = loop.clock.now + duration
    loop.onTimer(due: loop.clock.now) { [unowned loop] _ in
      let sample = sampler.sample()
      observer.record(sample)
      let groups = sample.cgroups.map(\.path).filter { CgroupOwner(path: $0)?.name == unit }
      path = path ?? groups.min { $0.utf8.count < $1.utf8.count }
      guard path != nil else {
        throw Refusal(
          "\(unit) has no control group with memory accounting: is it running? See systemctl status \(unit)")
      }
      if loop.clock.now >= end { loop.end() }
      return loop.clock.now + step
    }
    _ = try loop.run()
    guard let path, let entry = GrowthRanking(observer).series.first(where: { $0.key == .cgroup(path) }) else {
      throw Refusal("\(unit) ended while it was measured")
    }
    return MemoryGuard(
      unit: unit, workingSet: entry.bytes, growth: entry.judgement.word == .growing ? entry.judgement.slope : 0,
      hostBytes: observer.totalBytes, secondsWanted: runway / .seconds(1))
  }

  /// Writes the drop-in file. systemd applies it only when it is told to reload.
  package static func install(_ dropIn: MemoryGuard) throws(Refusal) {
    let directory = dropIn.directory
    if mkdir(directory, 0o755) != 0, errno != EEXIST {
      throw Refusal(
        "\(directory) cannot be made: \(errorMessage(errno)); run it with sudo, or add --dry-run")
    }
    // The file is written under another name and then renamed, so that systemd never reads an unfinished one.
    let draft = dropIn.path + ".new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw Refusal("\(draft) cannot be written: \(errorMessage(errno))") }
    defer { close(descriptor) }
    guard writeAll(dropIn.text, to: descriptor), fsync(descriptor) == 0, rename(draft, dropIn.path) == 0 else {
      throw Refusal("\(dropIn.path) cannot be written: \(errorMessage(errno))")
    }
  }
}
