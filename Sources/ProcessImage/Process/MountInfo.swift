/// A mount, as one line of a mountinfo file tells of it.
package struct MountInfo: Hashable, Sendable {
  package var number: UInt64
  /// Encoded as in `FileIdentity`.
  package var device: UInt64
  /// As it stands in the file: blanks are written `\040`.
  package var mountPoint: String
  /// The file system's type, such as `tmpfs`.
  package var type: String

  package init(number: UInt64, device: UInt64, mountPoint: String, type: String) {
    self.number = number
    self.device = device
    self.mountPoint = mountPoint
    self.type = type
  }

  /// The mounts that the text of a mountinfo file tells of. Lines that do not have the kernel's form are left out.
  package static func parse(_ text: String) -> [MountInfo] {
    text.split(separator: "\n").compactMap { line in
      // NUMBER PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS OPTIONAL… - TYPE SOURCE OPTIONS
      let fields = line.split(separator: " ")
      guard fields.count > 6, let number = UInt64(fields[0]),
        let dash = fields.dropFirst(6).firstIndex(of: "-"), dash + 1 < fields.count
      else { return nil }
      let parts = fields[2].split(separator: ":").compactMap { UInt64($0) }
      guard parts.count == 2 else { return nil }
      return MountInfo(
        number: number, device: parts[0] << 32 | parts[1], mountPoint: String(fields[4]), type: String(fields[dash + 1])
      )
    }
  }
}
