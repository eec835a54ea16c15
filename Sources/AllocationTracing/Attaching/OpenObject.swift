import Glibc
import SystemSupport

/// An object file that is held open while it is probed, so that its path stays valid when the process ends or the file is
/// removed.
final class OpenObject {
  private let descriptor: Int32
  /// A path that always leads to this file.
  let path: String

  init(_ object: ProbedObject) throws(Refusal) {
    var descriptor = Glibc.open(object.kernelPath, O_RDONLY | O_CLOEXEC)
    if descriptor < 0, let path = object.pathBelowRoot {
      descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    }
    guard descriptor >= 0 else {
      throw Refusal("\(object.path) cannot be opened: \(errorMessage(errno))")
    }
    self.descriptor = descriptor
    path = "/proc/self/fd/\(descriptor)"
  }

  deinit { close(descriptor) }

  /// Reads the pages that will be probed. If the attach itself has to read them, some kernels log a warning.
  func readIntoPageCache(_ offsets: [UInt64]) {
    var byte: UInt8 = 0
    for offset in offsets {
      _ = pread(descriptor, &byte, 1, off_t(offset))
      _ = pread(descriptor, &byte, 1, off_t(offset + 16))
    }
  }
}
