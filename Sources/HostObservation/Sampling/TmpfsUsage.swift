import Glibc

/// What one file system in memory holds.
package struct TmpfsUsage: Hashable, Sendable {
  package var mountPoint: String
  package var used: UInt64
  package var size: UInt64

  /// Mount points of type tmpfs, from the text of /proc/self/mounts; blanks in names are written `\040` there.
  package static func mountPoints(mounts: String) -> [String] {
    mounts.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count >= 3, fields[2] == "tmpfs" else { return nil }
      return unescaped(String(fields[1]))
    }
  }

  private static func unescaped(_ path: String) -> String {
    guard path.utf8.contains(0x5c) else { return path }
    let bytes = Array(path.utf8)
    var result: [UInt8] = []
    var place = 0
    while place < bytes.count {
      if bytes[place] == 0x5c, place + 3 < bytes.count,
        let value = UInt8(String(decoding: bytes[(place + 1)...(place + 3)], as: UTF8.self), radix: 8)
      {
        result.append(value)
        place += 4
      } else {
        result.append(bytes[place])
        place += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Asks the file system; nil where it cannot be reached.
  package static func measure(_ mountPoint: String) -> TmpfsUsage? {
    var status = statvfs()
    guard statvfs(mountPoint, &status) == 0, status.f_blocks > 0 else { return nil }
    let block = UInt64(status.f_frsize)
    return TmpfsUsage(
      mountPoint: mountPoint, used: (UInt64(status.f_blocks) - UInt64(status.f_bfree)) &* block,
      size: UInt64(status.f_blocks) &* block)
  }

  /// Bytes of System V shared memory segments in memory and on swap, from the text of /proc/sysvipc/shm, by key and id.
  package static func systemVSegments(_ text: String) -> [(name: String, bytes: UInt64)] {
    text.split(separator: "\n").dropFirst().compactMap { line in
      // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 16, let resident = UInt64(fields[14]), let swap = UInt64(fields[15]) else { return nil }
      return ("shmid \(fields[1])", resident &+ swap)
    }
  }
}
