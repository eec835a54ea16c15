import Allocators
import Glibc
import ProcessImage
import Runtimes

/// What kind of program a process runs: how its leaks are found depends on who manages its memory.
package struct TargetProfile: Hashable, Sendable {
  package typealias Runtime = Runtimes.Runtime
  package typealias Allocator = Allocators.Allocator

  /// The language runtime; nil for native code.
  package var runtime: Runtime?
  /// The allocator; nil where no library with one is mapped: in a static program, or one without malloc.
  package var allocator: Allocator?
  package var executable: String?

  package init(runtime: Runtime? = nil, allocator: Allocator? = nil, executable: String? = nil) {
    self.runtime = runtime
    self.allocator = allocator
    self.executable = executable
  }

  /// Looks at the mapped files of a process, and at the sections of its executable.
  package init(processID: Int32) {
    let executable = readLink("/proc/\(processID)/exe")
    let paths = ((try? ProcessMaps.read(processID: processID)) ?? []).filter(\.isFileBacked).map(\.path)
    self.init(
      mappedPaths: paths, executable: executable,
      runtime: Runtime.find(processID: processID, executable: executable, mappedPaths: paths))
  }

  package init(mappedPaths: [String], executable: String?, command: String?) {
    self.init(
      mappedPaths: mappedPaths, executable: executable,
      runtime: Runtime.find(executable: executable, mappedPaths: mappedPaths))
  }

  private init(mappedPaths: [String], executable: String?, runtime: Runtime) {
    self.init(
      runtime: runtime == .native ? nil : runtime, allocator: Allocator.inUse(mappedPaths: mappedPaths),
      executable: executable)
  }
}
