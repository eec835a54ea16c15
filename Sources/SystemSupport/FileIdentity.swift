import Glibc

/// A file, whatever paths lead to it.
package struct FileIdentity: Hashable, Sendable {
  /// Major number << 32 | minor number, as the kernel prints it for mappings. `stat` has another encoding of the two.
  package var device: UInt64
  package var inode: UInt64

  package init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }

  package init(_ status: stat) {
    // As glibc's major() and minor(), which Swift cannot import, take a device number apart.
    let number = UInt64(status.st_dev)
    let major = number >> 8 & 0xfff | number >> 32 & 0xffff_f000
    let minor = number & 0xff | number >> 12 & 0xffff_ff00
    device = major << 32 | minor
    inode = UInt64(status.st_ino)
  }
}

/// One state of a file: who writes to the file, or puts another in its place, makes another version.
package struct FileVersion: Hashable, Sendable {
  package var file: FileIdentity
  package var sizeInBytes: Int64
  package var seconds: Int64
  package var nanoseconds: Int64

  /// Which of a file's times tells its versions apart.
  package enum Time: Sendable {
    /// When its bytes were written. Programs can set it.
    case modification
    /// When its bytes or its links, owner or mode changed. Nobody can set it.
    case change
  }

  package init(_ status: stat, by time: Time) {
    file = FileIdentity(status)
    sizeInBytes = Int64(status.st_size)
    let moment = time == .modification ? status.st_mtim : status.st_ctim
    seconds = Int64(moment.tv_sec)
    nanoseconds = Int64(moment.tv_nsec)
  }

  /// Of no file.
  package static let none = FileVersion(stat(), by: .change)
}
