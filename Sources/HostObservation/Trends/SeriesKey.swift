/// What a series of sizes belongs to.
package enum SeriesKey: Hashable, Sendable {
  /// The memory of a process that only its end gives back. The start time tells the process from a later one with the
  /// same id.
  case process(Int32, startTimeInTicks: UInt64)
  case cgroup(String)
  case slabCache(String)
  /// The kernel function that asked vmalloc for memory.
  case vmalloc(String)
  /// A line of the kernel's accounts, by its name in `KernelMemory.Kind`.
  case kernel(String)
  case tmpfs(String)
  case sharedSegment(String)

  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case process, cgroup
    case slabCache = "slab cache"
    case vmalloc
    case kernel
    case tmpfs
    case sharedSegment = "shared memory"
  }

  /// The series that a history stores under these words; nil where there is no such series.
  package init?(kind: String, name: String) {
    switch Kind(rawValue: kind) {
    case .process:
      guard let processID = name.split(separator: " ").first.flatMap({ Int32($0) }) else { return nil }
      self = .process(processID, startTimeInTicks: 0)
    case .cgroup: self = .cgroup(name)
    case .slabCache: self = .slabCache(name)
    case .vmalloc: self = .vmalloc(name)
    case .kernel: self = .kernel(name)
    case .tmpfs: self = .tmpfs(name)
    case .sharedSegment: self = .sharedSegment(name)
    case nil: return nil
    }
  }

  package var kind: Kind {
    switch self {
    case .process: .process
    case .cgroup: .cgroup
    case .slabCache: .slabCache
    case .vmalloc: .vmalloc
    case .kernel: .kernel
    case .tmpfs: .tmpfs
    case .sharedSegment: .sharedSegment
    }
  }

  package var name: String {
    switch self {
    case .process(let processID, _): String(processID)
    case .cgroup(let path): path
    case .slabCache(let name), .vmalloc(let name), .kernel(let name), .tmpfs(let name), .sharedSegment(let name): name
    }
  }
}
