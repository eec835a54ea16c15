import CElfUtils
import Glibc

/// The vDSO: the small shared object that the kernel maps into every process. It is the same in all processes.
package enum VirtualObject {
  /// The largest vDSO that is copied, in bytes. The kernel's has two pages.
  private static let maximumSize = 1 << 20

  /// A copy of the vDSO of our own process, or nil if there is none.
  package static func copy() -> ElfFile? {
    guard let maps = try? ProcessMaps.read(processID: getpid()),
      let mapping = maps.first(where: { $0.path == "[vdso]" }),
      mapping.end - mapping.start <= maximumSize
    else { return nil }
    let image = UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: UInt(mapping.start)),
      count: Int(mapping.end - mapping.start))
    return try? ElfFile(copying: image, name: mapping.path)
  }
}
