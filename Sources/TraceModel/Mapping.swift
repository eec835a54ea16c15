import SystemSupport

/// One line of `/proc/PID/maps`: a range of a process's address space and what backs it.
package struct Mapping: Hashable, Sendable {
  /// First address of the range.
  package var start: UInt64
  /// First address after the range.
  package var end: UInt64
  /// Offset into the backing file of the byte at `start`.
  package var fileOffset: UInt64
  package var permissions: Permissions
  /// Device number of the backing file, as `major << 32 | minor`; 0 for anonymous memory.
  package var device: UInt64
  /// Inode of the backing file; 0 for anonymous memory.
  package var inode: UInt64
  /// The path as the kernel prints it, with its escapes undone: a file, `[heap]`, `[stack]`, `[vdso]` or empty.
  package var path: String
  /// Whether the kernel marked the file as unlinked (` (deleted)`, which is not part of `path`).
  package var isDeleted: Bool

  package struct Permissions: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let read = Permissions(rawValue: 1)
    package static let write = Permissions(rawValue: 2)
    package static let execute = Permissions(rawValue: 4)
    package static let shared = Permissions(rawValue: 8)
  }

  package init(
    start: UInt64, end: UInt64, fileOffset: UInt64, permissions: Permissions, device: UInt64,
    inode: UInt64, path: String, isDeleted: Bool
  ) {
    self.start = start
    self.end = end
    self.fileOffset = fileOffset
    self.permissions = permissions
    self.device = device
    self.inode = inode
    self.path = path
    self.isDeleted = isDeleted
  }

  package func contains(_ address: UInt64) -> Bool { start <= address && address < end }

  /// The file behind it; without meaning for anonymous memory.
  package var file: FileIdentity { FileIdentity(device: device, inode: inode) }

  /// Whether a file (not anonymous memory, not a kernel area such as `[vdso]`) backs the range.
  package var isFileBacked: Bool { inode != 0 && path.utf8.first == UInt8(ascii: "/") }
}
