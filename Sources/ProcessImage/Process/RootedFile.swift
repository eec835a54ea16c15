import CElfUtils
import Glibc
import SystemSupport
import TraceModel

/// Opens files as a traced process sees them. What the process does to its file system cannot lead us to other files.
package enum RootedFile {
  /// Opens the file behind a mapping of a process.
  ///
  /// It tries three ways: `/proc/PID/map_files`, which reaches deleted files and other mount namespaces (and needs
  /// CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE); the path of the mapping below the root directory of the process; and
  /// that path below our own root directory. The file that was opened is compared with the device and the inode of the
  /// mapping: another file that has taken the path since is refused. Nothing but a regular file is ever opened, and opening
  /// never waits. Throws `ENOENT` when the mapping has no file.
  package static func open(
    mapping: Mapping, processID: Int32
  ) throws(ProcessError) -> OpenFile {
    guard mapping.inode != 0 else {
      throw ProcessError(operation: "open", path: mapping.path, code: ENOENT)
    }
    var firstError: ProcessError?
    var descriptor: Int32 = -1
    let link = mapFilesPath(of: mapping, processID: processID)
    let code = celf_open_link(link, &descriptor)
    if code == 0 {
      let file = OpenFile(owning: descriptor)
      if isFile(file.descriptor, backing: mapping) { return file }
    } else {
      firstError = ProcessError(operation: "open", path: link, code: -code)
    }
    if !mapping.isDeleted, mapping.path.utf8.first == UInt8(ascii: "/") {
      for root in ["/proc/\(processID)/root", "/"] {
        guard let file = try? open(path: mapping.path, beneath: root),
          isFile(file.descriptor, backing: mapping)
        else { continue }
        return file
      }
    }
    throw firstError ?? ProcessError(operation: "open", path: mapping.path, code: ESTALE)
  }

  /// Opens a regular file by its absolute path in the file system of a process, that is, in its root directory and its
  /// mount namespace.
  package static func open(
    path: String, inRootOf processID: Int32, followsLinks: Bool = true
  ) throws(ProcessError) -> OpenFile {
    try open(path: path, beneath: "/proc/\(processID)/root", followsLinks: followsLinks)
  }

  /// Opens a regular file as if `root` were the root directory: neither `..` nor a symbolic link leads out of it.
  ///
  /// - Parameter followsLinks: whether the path may have symbolic links. It must not where others can make links in one of
  ///   its directories: they could name any file within the root that we may read and they may not.
  package static func open(
    path: String, beneath root: String, followsLinks: Bool = true
  ) throws(ProcessError) -> OpenFile {
    var descriptor: Int32 = -1
    let code = celf_open_in_root(root, path, followsLinks, &descriptor)
    guard code == 0 else {
      throw ProcessError(operation: "openat2 beneath \(root)", path: path, code: -code)
    }
    return OpenFile(owning: descriptor)
  }

  /// The path of the kernel's own link to the file of a mapping.
  package static func mapFilesPath(of mapping: Mapping, processID: Int32) -> String {
    "/proc/\(processID)/map_files/\(String(mapping.start, radix: 16))-\(String(mapping.end, radix: 16))"
  }

  /// Whether an open file is the one that a mapping shows, by its device and inode, and has what is mapped of it.
  package static func isFile(_ descriptor: Int32, backing mapping: Mapping) -> Bool {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      UInt64(status.st_size) > mapping.fileOffset
    else { return false }
    if FileIdentity(status) == mapping.file { return true }
    // On btrfs and overlayfs, stat gives other numbers than the kernel prints in maps. We map the file ourselves to see
    // how the kernel prints it.
    return identityWhenMapped(descriptor) == mapping.file
  }

  private static func identityWhenMapped(_ descriptor: Int32) -> FileIdentity? {
    let page = mmap(nil, 1, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let page, page != MAP_FAILED else { return nil }
    defer { munmap(page, 1) }
    let address = UInt64(UInt(bitPattern: page))
    guard let maps = try? ProcessMaps.read(processID: getpid()) else { return nil }
    return maps.first { $0.contains(address) }?.file
  }
}
