import KernelStatistics

/// What kind of memory a series grows by.
package enum GrowthKind: String, Hashable, Sendable, CaseIterable {
  case heap
  case anonymous = "anonymous mappings"
  case stacks
  case files = "file mappings"
  case sharedMemory = "shared memory"
  case tmpfs
  case swap
  case pageTables = "page tables"
  case kernel

  /// Bytes that each kind has grown by, the most first; kinds that have not grown are left out.
  package static func growth(of track: HostObserver.Track, key: SeriesKey) -> [(kind: GrowthKind, bytes: UInt64)] {
    var result: [(kind: GrowthKind, bytes: UInt64)] = []
    func add(_ kind: GrowthKind, _ before: UInt64, _ after: UInt64) {
      if after > before { result.append((kind, after - before)) }
    }
    switch key {
    case .process:
      guard let first = track.firstProcess, let latest = track.latestProcess else { break }
      add(.swap, first.swap, latest.swap)
      add(.pageTables, first.pageTables, latest.pageTables)
      if let before = track.firstClasses, let after = track.latestClasses, before != after {
        let pairs: [(MappingClasses.Class, GrowthKind)] = [
          (.heap, .heap), (.anonymous, .anonymous), (.stack, .stacks), (.file, .files),
          (.sharedMemory, .sharedMemory), (.tmpfs, .tmpfs),
        ]
        for (kind, growth) in pairs { add(growth, before[kind].resident, after[kind].resident) }
      } else {
        add(.anonymous, first.anonymous, latest.anonymous)
        add(.sharedMemory, first.shared, latest.shared)
      }
    case .cgroup:
      guard let first = track.firstCgroup?.parts, let latest = track.latestCgroup?.parts else { break }
      add(.anonymous, first.anonymous, latest.anonymous)
      add(.sharedMemory, first.shared, latest.shared)
      add(.kernel, first.kernel, latest.kernel)
    case .tmpfs: result = [(.tmpfs, 0)]
    case .sharedSegment: result = [(.sharedMemory, 0)]
    case .slabCache, .vmalloc: result = [(.kernel, 0)]
    case .kernel(let name):
      let isKernel = KernelMemory.Kind(rawValue: name)?.isKernel ?? true
      result = isKernel ? [(.kernel, 0)] : []
    }
    return result.sorted { $0.bytes > $1.bytes }
  }
}
