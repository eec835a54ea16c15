import Glibc
import HostObservation
import Testing

@Suite struct SamplingTests {
  private func bytes<Result>(_ text: String, _ body: (Bytes) -> Result) -> Result {
    Array(text.utf8).withUnsafeBytes { body($0) }
  }

  @Test func readsAProcess() throws {
    let stat =
      "4711 (a) (b 1) S 1 4711 4711 0 -1 4194560 1234 5 67 8 9 10 0 0 20 0 3 0 98765 1000000 250 184467 1 1 0"
    var process = try #require(bytes(stat) { ProcessMemory(processID: 4711, stat: $0) })
    #expect(process.command == "a) (b 1")
    #expect(process.minorFaults == 1234)
    #expect(process.majorFaults == 67)
    #expect(process.threads == 3)
    #expect(process.startTimeInTicks == 98765)
    let status = """
      Name:\ta
      VmRSS:\t     700 kB
      RssAnon:\t     400 kB
      RssFile:\t     200 kB
      RssShmem:\t     100 kB
      VmPTE:\t      44 kB
      VmSwap:\t      16 kB
      """
    #expect(bytes(status) { process.readSizes(status: $0) })
    #expect(process.anonymous == 400 << 10)
    #expect(process.file == 200 << 10)
    #expect(process.shared == 100 << 10)
    #expect(process.pageTables == 44 << 10)
    #expect(process.swap == 16 << 10)
    #expect(process.resident == 700 << 10)
    #expect(process.charged == 560 << 10)
  }

  @Test(arguments: [
    "", "1", "1 (a", "1 (a)", "1 (a) S 1 2", "1 (a) Z 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 5 0 0",
    "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0",
    "1 (a) S 1 1 1 0 -1 0 99999999999999999999999 1 1 1 1 1 1 1 20 0 1 0 5 0 0",
  ])
  func refusesWhatIsNoProcess(_ stat: String) {
    #expect(bytes(stat) { ProcessMemory(processID: 1, stat: $0) } == nil)
  }

  @Test func tellsWhatMappingsAreFor() {
    let smaps = """
      55d0c0000000-55d0c0021000 r-xp 00000000 08:01 42 /usr/bin/prog
      Size:                132 kB
      Rss:                 100 kB
      Pss:                  50 kB
      Swap:                  0 kB
      55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
      Rss:                  64 kB
      Pss:                  64 kB
      Pss_Dirty:            64 kB
      Swap:                  8 kB
      SwapPss:               8 kB
      7f0000000000-7f0000100000 rw-p 00000000 00:00 0\u{20}
      Rss:                 512 kB
      Pss:                 512 kB
      7f0000200000-7f0000300000 rw-s 00000000 00:01 77 /dev/shm/area
      Rss:                 256 kB
      Pss:                 128 kB
      7f0000400000-7f0000500000 rw-s 00000000 00:01 78 /memfd:buffers (deleted)
      Rss:                  32 kB
      Pss:                  32 kB
      7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
      Rss:                  24 kB
      Pss:                  24 kB
      VmFlags: rd wr mr mw me gd ac
      """
    let classes = bytes(smaps) { MappingClasses(smaps: $0) }
    #expect(classes[.file].resident == 100 << 10)
    #expect(classes[.file].proportional == 50 << 10)
    #expect(classes[.heap].resident == 64 << 10)
    #expect(classes[.heap].swap == 8 << 10)
    #expect(classes[.anonymous].resident == 512 << 10)
    #expect(classes[.sharedMemory].resident == 288 << 10)
    #expect(classes[.sharedMemory].mappings == 2)
    #expect(classes[.stack].proportional == 24 << 10)
    #expect(classes.proportional == (50 + 64 + 512 + 128 + 32 + 24) << 10)
  }

  @Test func knowsOwnersOfControlGroups() throws {
    let id = String(repeating: "0123456789abcdef", count: 4)
    #expect(CgroupOwner(path: "/system.slice/nginx.service")?.name == "nginx.service")
    #expect(CgroupOwner(path: "/system.slice/a\\x2db.service/child")?.name == "a-b.service")
    for path in [
      "/docker/\(id)", "/system.slice/docker-\(id).scope", "/machine.slice/libpod-\(id).scope",
      "/kubepods.slice/kubepods-pod1.slice/cri-containerd-\(id).scope",
    ] {
      let owner = try #require(CgroupOwner(path: path))
      #expect(owner.kind == .container)
      #expect(owner.name == "0123456789ab")
    }
    #expect(CgroupOwner(path: "/user.slice/user-1000.slice/session-3.scope")?.kind == .unit)
    #expect(CgroupOwner(path: "/a/b") == nil)
  }

  @Test func prefersTheHierarchyWithMemory() {
    let mounts = """
      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
      """
    #expect(CgroupHierarchy.find(mounts: mounts, hasMemory: { _ in false })?.version == .v1)
    let unified = CgroupHierarchy.find(mounts: "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", hasMemory: { _ in true })
    #expect(unified == CgroupHierarchy(version: .v2, mountPoint: "/sys/fs/cgroup"))
    #expect(bytes("0::/system.slice/a.service\n") { unified?.path(processCgroups: $0) } == "/system.slice/a.service")
    #expect(TmpfsUsage.mountPoints(mounts: "tmpfs /a\\040b tmpfs rw 0 0\nproc /proc proc rw 0 0") == ["/a b"])
  }

  /// A memfd and a file that was removed from a tmpfs are found with their descriptors; a mapping of a closed one, too.
  @Test func findsRemovedFilesInMemory() throws {
    let name = "leaktrace-test-\(getpid())"
    let place = "/dev/shm/" + name
    guard access("/dev/shm", W_OK) == 0 else {
      print("skipped: /dev/shm cannot be written")
      return
    }
    let bytes = [UInt8](repeating: 1, count: 64 << 10)
    let removed = open(place, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    try #require(removed >= 0)
    defer { close(removed) }
    unlink(place)
    #expect(write(removed, bytes, bytes.count) == bytes.count)
    let mapped = open(place, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    unlink(place)
    #expect(write(mapped, bytes, 8192) == 8192)
    let memory = mmap(nil, 8192, PROT_READ, MAP_SHARED, mapped, 0)
    defer { munmap(memory, 8192) }
    close(mapped)
    let named = open(place + "-named", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    defer {
      close(named)
      unlink(place + "-named")
    }
    #expect(write(named, bytes, bytes.count) == bytes.count)

    let own = RemovedFiles().of(mountPoint: "/dev/shm").held { $0 == getpid() }.files.filter { $0.name == place }
    #expect(own.map(\.bytes) == [64 << 10, 8192])
    #expect(own.map { $0.holders.map(\.descriptor) } == [[removed], [nil]])
  }

  /// The same limits as those of an observation's forecast: the control groups around, the process's own, and the host's.
  @Test func findsTheNearestLimit() throws {
    let fixture = try HostFixture()
    try fixture.writeProcess(7, command: "svc", anonymousKiB: 100_000, cgroup: "/a/b")
    try fixture.writeProcess(8, command: "svc", anonymousKiB: 1_000_000, cgroup: "/a")
    try fixture.writeCgroup("/a", current: 300 << 20, anonymous: 200 << 20, file: 100 << 20, limit: "\(256 << 20)")
    try fixture.writeCgroup("/a/b", current: 300 << 20, anonymous: 200 << 20, file: 100 << 20)
    let sampler = HostSampler(root: fixture.root)
    func limit(_ processIDs: [Int32]) -> MemoryLimit? { sampler.nearestLimit(of: processIDs) }
    // File cache and reclaimable slab give way before the limit bites.
    #expect(limit([7]) == MemoryLimit(left: (56 << 20) + 4096, name: "memory limit of /a"))
    // 1 GiB of address space, of which little is left.
    #expect(limit([7, 8]) == MemoryLimit(left: (1 << 30) - 1_000_000 * 1024, name: "ulimit"))
    #expect(limit([]) == MemoryLimit(left: 500_000 * 1024, name: "MemAvailable"))
    #expect(limit([99]) == MemoryLimit(left: 500_000 * 1024, name: "MemAvailable"))
    #expect(HostSampler(root: HostRoot(prefix: "/nowhere")).nearestLimit(of: [7]) == nil)
  }
}
