import HostObservation
import KernelTracing
import TestTools
import WatchService

/// A host of which a test says what is on it at any moment.
final class FakeHost: WatchedHost {
  struct Process {
    var command: String
    /// Bytes at the beginning, and by which it grows in a second.
    var bytes: UInt64 = 10 << 20
    var growth: UInt64 = 0
    var cgroup = ""
  }

  let clock: FakeClock
  var processes: [Int32: Process] = [:]
  var cgroups: [CgroupMemory] = []
  /// CPU seconds that a look at it takes.
  var costOfLook = 0.0
  private(set) var looks: [Double] = []

  init(clock: FakeClock) { self.clock = clock }

  func sample() -> HostSample {
    looks.append(clock.elapsed)
    clock.processSeconds += costOfLook
    var sample = HostSample(time: clock.monotonicSeconds)
    sample.totalBytes = 64 << 30
    sample.availableBytes = 32 << 30
    sample.processes = processes.keys.sorted().compactMap(process)
    sample.cgroups = cgroups
    return sample
  }

  func process(_ processID: Int32) -> ProcessMemory? {
    guard let process = processes[processID] else { return nil }
    var memory = ProcessMemory(processID: processID, command: process.command, startTimeInTicks: 1)
    memory.anonymous = process.bytes + UInt64(clock.elapsed) * process.growth
    return memory
  }

  func mappingClasses(of processID: Int32) -> MappingClasses? { nil }
  func cgroup(of processID: Int32) -> String? { processes[processID]?.cgroup }
  func memoryLimit(of processID: Int32) -> UInt64? { nil }
  func isGone(_ processID: Int32) -> Bool { processes[processID] == nil }
}
