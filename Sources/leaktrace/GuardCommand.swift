import AllocationTracing
import ArgumentParser
import Glibc
import HostObservation
import Session
import SystemSupport

/// `leaktrace guard`: keeps a unit that leaks from taking the host down.
struct GuardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guard",
    abstract: "Writes a systemd drop-in that bounds a unit's memory and restarts it.",
    discussion: """
      Measures what the unit works with and how it grows, and writes MemoryHigh, MemoryMax and Restart=on-failure to \
      /etc/systemd/system/UNIT.d/50-leaktrace-memory.conf. systemd takes it up at `systemctl daemon-reload`.
      """)

  @Argument(help: "The unit, for example nginx.service.")
  var unit: String

  @Flag(help: "Print the drop-in instead of writing it.")
  var dryRun = false

  @Option(name: .customLong("for"), help: "How long to measure.")
  var duration = "20s"

  @Option(name: .customLong("runway"), help: "How long the unit shall run before it is slowed down.")
  var runway = "24h"

  mutating func validate() throws {
    if !unit.contains(".") { unit += ".service" }
    let isName = unit.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x3a, 0x40, 0x5c, 0x5f].contains(byte)
    }
    guard isName, unit.hasSuffix(".service"), !unit.hasPrefix("."), unit.utf8.count < 250 else {
      throw ValidationError("'\(unit)' is no service: name one, for example nginx.service")
    }
    guard try TimeValue.parse(duration, plainUnit: .seconds(1)) >= .seconds(5) else {
      throw ValidationError("--for \(duration): less than 5 seconds tell no trend")
    }
    _ = try TimeValue.parse(runway, plainUnit: .seconds(1))
  }

  mutating func run() throws {
    let sampler = HostSampler()
    let length = try TimeValue.parse(duration, plainUnit: .seconds(1)) / .seconds(1)
    let step = max(0.25, length / 60)
    var observer = HostObserver(interval: step, lookback: length, ownProcessID: getpid())
    let end = ContinuousClock.now + .seconds(length)
    var path: String?
    while true {
      let sample = sampler.sample()
      observer.record(sample)
      if path == nil {
        path = sample.cgroups.map(\.path).filter { CgroupOwner(path: $0)?.name == unit }.min {
          $0.utf8.count < $1.utf8.count
        }
      }
      guard path != nil else {
        throw TraceError(
          "\(unit) has no control group with memory accounting: is it running? See systemctl status \(unit)")
      }
      if ContinuousClock.now >= end { break }
      usleep(UInt32(step * 1e6))
    }
    guard let path, let entry = GrowthRanking(observer).series.first(where: { $0.key == .cgroup(path) }) else {
      throw TraceError("\(unit) ended while it was measured")
    }
    let growth = entry.judgement.word == .growing ? entry.judgement.slope : 0
    let dropIn = MemoryGuard(
      unit: unit, workingSet: entry.bytes, growth: growth, hostBytes: observer.totalBytes,
      secondsWanted: try TimeValue.parse(runway, plainUnit: .seconds(1)) / .seconds(1))
    if dryRun {
      writeAll("# \(dropIn.path)\n\(dropIn.text)", to: STDOUT_FILENO)
      return
    }
    try install(dropIn)
    writeAll("written: \(dropIn.path)\nnow run: sudo systemctl daemon-reload\n", to: STDOUT_FILENO)
  }

  private func install(_ dropIn: MemoryGuard) throws {
    let directory = String(dropIn.path[..<dropIn.path.lastIndex(of: "/")!])
    if mkdir(directory, 0o755) != 0, errno != EEXIST {
      throw TraceError(
        "\(directory) cannot be made: \(errorMessage(errno)); run it with sudo, or add --dry-run")
    }
    // Renamed into place: systemd never reads half of it.
    let draft = dropIn.path + ".new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw TraceError("\(draft) cannot be written: \(errorMessage(errno))") }
    defer { close(descriptor) }
    guard writeAll(dropIn.text, to: descriptor), fsync(descriptor) == 0, rename(draft, dropIn.path) == 0 else {
      throw TraceError("\(dropIn.path) cannot be written: \(errorMessage(errno))")
    }
  }
}
