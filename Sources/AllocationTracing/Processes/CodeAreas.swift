import ProcessImage
import TraceModel

/// Where the code of a process's loader and allocators lies: what that code maps is not the program's own. Valid as long as
/// the process's mappings and probes do not change.
struct CodeAreas {
  /// Addresses of the probed allocator functions.
  private var allocator: [Range<UInt64>] = []
  /// Code of libraries whose purpose is to allocate, such as jemalloc: what they map while they start is theirs, too.
  private var allocatorLibraries: [Range<UInt64>] = []
  private var loader: [Range<UInt64>] = []
  /// On whose behalf each site maps memory, by the kernel's site index.
  var ownerOfSite: [UInt32: MappingOwner] = [:]
  /// Addresses of `pthread_create`; nil until somebody asks. `threadStackSites` says which sites pass through it.
  var threadCode: [Range<UInt64>]?
  var threadStackSites: [UInt32: Bool] = [:]

  /// - Parameter probes: those of the process.
  init(mappings: [Mapping], probes: [AllocatorProbe], executable: String?) {
    let probed = probes.filter { !$0.function.isSystemCall }
    for mapping in mappings where mapping.isFileBacked && mapping.permissions.contains(.execute) {
      let identity = mapping.file
      let name = mapping.path.split(separator: "/").last ?? ""
      if mapping.isLoader { loader.append(mapping.start..<mapping.end) }
      let here = probed.filter { $0.object.identity == identity }
      if !name.hasPrefix("libc.") && !name.hasPrefix("libc-"), mapping.path != executable,
        name.hasPrefix("lib"), here.contains(where: { $0.function.name == "malloc" })
      {
        allocatorLibraries.append(mapping.start..<mapping.end)
      }
      for probe in here
      where probe.fileOffset >= mapping.fileOffset
        && probe.fileOffset - mapping.fileOffset < mapping.end - mapping.start
      {
        let start = mapping.start + (probe.fileOffset - mapping.fileOffset)
        // When a call is the last instruction of a function, its return address is the first byte behind the function.
        allocator.append(start..<(start + max(probe.size, 1) + 1))
      }
    }
  }

  /// On whose behalf a stack maps memory. Decided by addresses and not by names, because processes wait for the answer.
  func owner(ofStack stack: [UInt64]) -> MappingOwner {
    // An allocator's library must be among the innermost frames: then the allocator itself called the C library's mmap.
    if Self.passes(allocator, stack) || Self.passes(allocatorLibraries, stack.prefix(3)) { return .allocator }
    return Self.passes(loader, stack) ? .loader : .program
  }

  static func passes(_ ranges: [Range<UInt64>], _ addresses: some Sequence<UInt64>) -> Bool {
    addresses.contains { address in ranges.contains { $0.contains(address) } }
  }
}

/// On whose behalf memory was mapped.
enum MappingOwner {
  case program, allocator, loader
}

extension Mapping {
  /// Whether the dynamic loader lies there.
  var isLoader: Bool { (path.split(separator: "/").last ?? "").hasPrefix("ld-linux") }
}
