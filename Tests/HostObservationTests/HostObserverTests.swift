import Glibc
import HostObservation
import KernelStatistics
import Testing

@Suite struct HostObserverTests {
  @Test func samplesAHostOfVersion2() throws {
    let host = try HostFixture()
    try host.writeProcess(100, command: "server", anonymousKiB: 4096, cgroup: "/system.slice/a.service")
    try host.writeCgroup("/system.slice", current: 9_000_000, anonymous: 4_000_000, file: 4_000_000)
    try host.writeCgroup(
      "/system.slice/a.service", current: 9_000_000, anonymous: 4_000_000, file: 4_000_000, limit: "10000000")
    let sampler = HostSampler(root: host.root)
    let sample = sampler.sample()
    #expect(sample.processes.map(\.processID) == [100])
    #expect(sample.processes.first?.charged == 4096 << 10)
    #expect(sample.totalBytes == 1_000_000 << 10)
    let group = try #require(sample.cgroups.first { $0.path == "/system.slice/a.service" })
    #expect(sample.cgroups.count == 2)
    #expect(group.limit == 10_000_000)
    #expect(group.softLimit == nil)
    #expect(group.unreclaimable == 9_000_000 - 4_000_000 - 4096)
    #expect(group.limitHits == 3)
    #expect(group.oomKills == 1)
    #expect(sampler.cgroup(of: 100) == "/system.slice/a.service")
    #expect(sampler.memoryLimit(of: 100) == 1 << 30)
  }

  @Test func samplesAHostOfVersion1() throws {
    let host = try HostFixture()
    try host.write("/proc/self/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n")
    let directory = "/sys/fs/cgroup/memory/box"
    try host.write(directory + "/memory.usage_in_bytes", "5000000\n")
    try host.write(directory + "/memory.limit_in_bytes", "9223372036854771712\n")
    try host.write(directory + "/memory.stat", "rss 1\ntotal_rss 3000000\ntotal_cache 1500000\ntotal_shmem 500000\n")
    try host.write(directory + "/memory.failcnt", "4\n")
    try host.write(directory + "/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    let group = try #require(HostSampler(root: host.root).sample().cgroups.first)
    #expect(group.path == "/box")
    #expect(group.limit == nil)
    #expect(group.unreclaimable == 4_000_000)
    #expect(group.limitHits == 4)
    #expect(group.oomKills == 2)
  }

  /// A process that leaks in a group with a limit, and a slab cache, beside what does not leak.
  @Test func ranksWhatMeetsItsLimitFirst() throws {
    var observer = HostObserver(interval: 1, lookback: 3600)
    let mebibyte: UInt64 = 1 << 20
    for second in 0..<60 {
      var sample = HostSample(time: 1000 + Double(second))
      let time = UInt64(second)
      sample.totalBytes = 16 << 30
      sample.availableBytes = 8 << 30
      sample.processes = [
        process(1, "leaking", 100 * mebibyte + time * mebibyte / 2),
        process(2, "large", 4096 * mebibyte),
        process(3, "collected", 300 * mebibyte + time % 7 * 20 * mebibyte),
        process(4, "faster", 100 * mebibyte + time * mebibyte),
      ]
      var group = CgroupMemory(path: "/a.service", usage: 100 * mebibyte + time * mebibyte / 2)
      group.unreclaimable = group.usage
      group.limit = 200 * mebibyte
      sample.cgroups = [group]
      sample.slabCaches = [
        (name: "leaking-cache", bytes: 10 * mebibyte + time * 65536, isReclaimable: false),
        (name: "dentry", bytes: 100 * mebibyte + time * 4 * mebibyte, isReclaimable: true),
        (name: "level", bytes: 10 * mebibyte, isReclaimable: false),
      ]
      observer.record(sample)
    }
    let ranking = GrowthRanking(
      observer, lookup: .init(cgroupOfProcess: { $0 == 1 ? "/a.service" : "" }, memoryLimitOfProcess: { _ in nil }))
    #expect(
      ranking.growing.map(\.key.name) == ["1", "/a.service", "4", "leaking-cache", "dentry"])
    let first = try #require(ranking.growing.first)
    #expect(first.owner?.name == "a.service")
    #expect(first.limit?.name == "memory limit of /a.service")
    // 70.5 MiB are left at half a mebibyte per second.
    #expect(abs(try #require(first.secondsToLimit) - 141) < 2)
    #expect(abs(first.bytesPerHour - 1800 * Double(mebibyte)) < 1800 * 1024)
    #expect(abs(first.share - 1 / 3) < 0.01)
    #expect(ranking.growing[2].limit?.name == "MemAvailable")
    #expect(ranking.series.first { $0.key.name == "3" }?.judgement.word != .growing)
  }

  private func process(_ processID: Int32, _ command: String, _ bytes: UInt64) -> ProcessMemory {
    var memory = ProcessMemory(processID: processID, command: command, startTimeInTicks: 5)
    memory.anonymous = bytes
    return memory
  }

  @Test func keepsWindowsOfAFixedNumber() {
    var history = SizeHistory(time: 0, windowLength: 1, longestWindow: 60)
    for second in 0..<100_000 { history.record(UInt64(second), at: Double(second)) }
    let points = history.points
    #expect(points.seconds.count <= SizeHistory.maximumWindows)
    #expect(points.seconds.count >= SizeHistory.maximumWindows / 2)
    #expect(history.windowLength == 32)
    #expect(points.bytes == points.bytes.sorted())
    #expect(history.latestBytes == 99_999)
    // The oldest windows are left behind.
    #expect(try! #require(points.seconds.first) > 97_000)
  }

  @Test func looksAtTheRunningHost() throws {
    let sampler = HostSampler()
    let sample = sampler.sample()
    #expect(sample.totalBytes > sample.availableBytes)
    let own = try #require(sampler.process(getpid()))
    #expect(own.anonymous > 1 << 20)
    #expect(sample.processes.contains { $0.processID == getpid() })
    let classes = try #require(sampler.mappingClasses(of: getpid()))
    let proportional = try #require(sampler.proportionalBytes(of: getpid()))
    #expect(classes[.file].mappings > 3)
    #expect(classes[.stack].mappings == 1)
    // The two are read one after the other, while other tests run.
    #expect(abs(Double(classes.proportional) - Double(proportional)) < 0.5 * Double(proportional))
    #expect(!sample.kernel.isEmpty)
  }
}
