import Glibc
import ProcessImage
import TraceModel

@testable import AllocationTracing

/// What a process that runs or loads `paths` would have mapped: one executable mapping per file, links resolved.
func mappings(of paths: [String]) -> [Mapping] {
  var mappings: [Mapping] = []
  for (index, path) in paths.enumerated() {
    var status = stat()
    guard stat(path, &status) == 0, let resolved = realpath(path, nil) else { continue }
    defer { free(resolved) }
    let start = 0x7f00_0000_0000 + UInt64(index) * 0x1000_0000
    mappings.append(
      Mapping(
        start: start, end: start + 0x10_0000, fileOffset: 0, permissions: [.read, .execute],
        device: UInt64(status.st_dev),
        inode: UInt64(status.st_ino), path: String(cString: resolved), isDeleted: false))
  }
  return mappings
}

func exists(_ path: String) -> Bool { access(path, R_OK) == 0 }

func discover(
  _ paths: [String], _ options: AllocatorDiscovery.Options = AllocatorDiscovery.Options()
) -> AllocatorPlan {
  AllocatorDiscovery(
    processID: 4242, mappings: mappings(of: paths), options: options,
    open: { try? ElfFile(path: $0.path) }
  ).plan()
}
