import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// The kernel's vDSO. One kernel gives every 64-bit process the same one, so ours stands for all.
enum VirtualSharedObject {
  /// Path of the mapping that holds it.
  static let path = "[vdso]"

  /// A copy of our own; nil where the kernel provides none.
  static func module(options: SymbolizerOptions) -> Module? {
    guard let mappings = try? ProcessMaps.read(processID: getpid()),
      let mapping = mappings.first(where: { $0.path == path }),
      let start = UnsafeRawPointer(bitPattern: UInt(mapping.start)),
      let elf = try? ElfFile(
        copying: UnsafeRawBufferPointer(start: start, count: Int(mapping.end - mapping.start)),
        name: path)
    else { return nil }
    let files = ModuleReader.Files(object: elf, separate: { nil }, supplement: { _ in nil })
    return Module(
      elf: elf, path: path, version: .none, isForeign: true,
      reader: ModuleReader(files, options: options, losses: NamingLosses()))
  }
}
