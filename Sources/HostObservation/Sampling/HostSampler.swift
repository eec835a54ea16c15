import Glibc
import KernelStatistics
import SystemSupport

/// Looks at a host again and again: processes, control groups and the kernel's own memory, without any probe.
///
/// Cost: two small files for each process and three to five for each control group; see `Scripts/bench watch`. Not safe for
/// use from several threads.
package final class HostSampler {
  package let root: HostRoot
  package let hierarchy: CgroupHierarchy?
  let reader = FileReader()
  private let tmpfsMountPoints: [String]
  private var cgroupPaths: [String] = []
  private var samplesSinceListing = Int.max
  private var reclaimable: [String: Bool] = [:]

  /// Processes whose mappings were too many, and when they were looked at.
  private var tooManyMappings: [Int32: Double] = [:]
  private static let secondsBetweenTries = 600.0
  /// What is read of a description of mappings: some 20,000 mappings.
  private static let mappingBytes = 16 << 20

  /// Control groups come and go seldom: their directories are listed once in so many samples.
  private static let samplesPerListing = 10

  package init(root: HostRoot = .running) {
    self.root = root
    hierarchy = CgroupHierarchy.find(root: root, reader: reader)
    tmpfsMountPoints = TmpfsUsage.mountPoints(mounts: reader.text(root.path("/proc/self/mounts")) ?? "")
  }

  package func sample() -> HostSample {
    var sample = HostSample(time: monotonicSeconds())
    sample.processes = processes()
    sample.cgroups = cgroups()
    readKernel(into: &sample)
    for mountPoint in tmpfsMountPoints {
      if var usage = TmpfsUsage.measure(root.path(mountPoint)) {
        usage.mountPoint = mountPoint
        sample.tmpfs.append(usage)
      }
    }
    sample.sharedSegments = TmpfsUsage.systemVSegments(reader.text(root.path("/proc/sysvipc/shm")) ?? "")
    return sample
  }

  // MARK: Processes

  private func processes() -> [ProcessMemory] {
    let directory = root.path("/proc")
    var result: [ProcessMemory] = []
    for name in directoryEntries(directory) {
      guard let first = name.utf8.first, first >= 0x31, first <= 0x39, let processID = Int32(name) else { continue }
      if let memory = process(processID) { result.append(memory) }
    }
    return result
  }

  /// - Returns: nil for a kernel thread, or a process that has ended or may not be read.
  package func process(_ processID: Int32) -> ProcessMemory? {
    let directory = root.path("/proc/\(processID)/")
    guard
      var memory = reader.read(directory + "stat", { ProcessMemory(processID: processID, stat: $0) }) ?? nil,
      reader.read(directory + "status", { memory.readSizes(status: $0) }) == true
    else { return nil }
    return memory
  }

  /// What the memory of a process is for; nil where its mappings may not be read, or are too many: the kernel takes a second to
  /// describe 65,000.
  package func mappingClasses(of processID: Int32) -> MappingClasses? {
    let now = monotonicSeconds()
    if let since = tooManyMappings[processID], now - since < Self.secondsBetweenTries { return nil }
    var classes = MappingClasses.Reader()
    var isEmpty = true
    let isWhole = reader.readLines(of: root.path("/proc/\(processID)/smaps"), atMost: Self.mappingBytes) { text in
      if !text.isEmpty { isEmpty = false }
      classes.read(text)
    }
    guard isWhole == true else {
      if isWhole == false {
        tooManyMappings = tooManyMappings.filter { now - $0.value < Self.secondsBetweenTries }
        tooManyMappings[processID] = now
      }
      return nil
    }
    return isEmpty ? nil : classes.classes
  }

  /// The process's memory with each shared page divided by its users (PSS), in bytes.
  package func proportionalBytes(of processID: Int32) -> UInt64? {
    let result: UInt64?? = reader.read(root.path("/proc/\(processID)/smaps_rollup")) { text in
      var bytes: UInt64?
      ProcText.forEachField(text) { name, value in
        if ProcText.equals(name, "Pss") { bytes = value.kibibytes }
      }
      return bytes
    }
    return result ?? nil
  }

  /// The control group of a process in the hierarchy that counts memory.
  package func cgroup(of processID: Int32) -> String? {
    guard let hierarchy else { return nil }
    return reader.read(root.path("/proc/\(processID)/cgroup")) { hierarchy.path(processCgroups: $0) } ?? nil
  }

  /// The process's own limit of its address space or of its data, whichever is less; nil for unlimited.
  package func memoryLimit(of processID: Int32) -> UInt64? {
    let result: UInt64?? = reader.read(root.path("/proc/\(processID)/limits")) { text in
      var least: UInt64?
      ProcText.forEachLine(text) { line in
        guard ProcText.hasPrefix(line, "Max address space") || ProcText.hasPrefix(line, "Max data size") else { return }
        var place = 17
        while place < line.count, line[place] < 0x30 || line[place] > 0x39 {
          // "unlimited" has no digits before the hard limit: the soft limit is the first word.
          if line[place] == 0x75 { return }
          place += 1
        }
        if let value = ProcText.number(line, &place) { least = min(least ?? .max, value) }
      }
      return least
    }
    return result ?? nil
  }

  // MARK: Control groups

  private func cgroups() -> [CgroupMemory] {
    guard let hierarchy else { return [] }
    if samplesSinceListing >= Self.samplesPerListing {
      cgroupPaths = hierarchy.paths(root: root)
      samplesSinceListing = 0
    }
    samplesSinceListing += 1
    return cgroupPaths.compactMap { hierarchy.memory(of: $0, root: root, reader: reader) }
  }

  // MARK: The kernel

  private func isReclaimable(slabCache name: String) -> Bool {
    if let known = reclaimable[name] { return known }
    let result = reader.read(root.path("/sys/kernel/slab/\(name)/reclaim_account")) { $0.first == 0x31 } ?? false
    reclaimable[name] = result
    return result
  }

  private func readKernel(into sample: inout HostSample) {
    func text(_ path: String) -> String { reader.text(root.path(path)) ?? "" }
    let memory = KernelMemory(
      meminfo: text("/proc/meminfo"), slab: SlabCaches(slabinfo: text("/proc/slabinfo")),
      vmallocinfo: text("/proc/vmallocinfo"))
    sample.totalBytes = memory.meminfo["MemTotal"] ?? 0
    sample.availableBytes = memory.meminfo["MemAvailable"] ?? 0
    sample.slabCaches = memory.slab.caches.map { ($0.name, $0.sizeInBytes, isReclaimable(slabCache: $0.name)) }
    sample.kernel = (memory.shares() ?? []).filter { $0.kind != .free }
    sample.vmalloc = memory.vmallocCallers.map { ($0.function, $0.memoryBytes) }
  }
}
