import SystemSupport

/// What a symbolizer looks for, and what it may take for that.
package struct SymbolizerOptions: Sendable {
  /// Directories with separate debug files, as `/usr/lib/debug`.
  package var debugDirectories: [String]
  /// Whether to read DWARF for source lines and inlined functions. Costs time and memory where debug information is large.
  package var linesAndInlines: Bool
  /// Whether names are shown as the programmer wrote them, not as the linker knows them.
  package var demangle: Bool
  /// Debug sections that would take more bytes unpacked are not read.
  package var maximumUnpackedBytes = Self.mostUnpackedBytes
  static let mostUnpackedBytes: UInt64 = 1 << 30
  /// If given, files are read by a process without privileges, within these limits; else by this one.
  package var worker: WorkerLimits?
  /// Whether leaktrace has been told to end, so that nobody waits for names any more. It is asked often.
  package var isInterrupted: @Sendable () -> Bool = { Interruption.isRaised }

  package init(
    debugDirectories: [String] = ["/usr/lib/debug"], linesAndInlines: Bool = true,
    demangle: Bool = true
  ) {
    self.debugDirectories = debugDirectories
    self.linesAndInlines = linesAndInlines
    self.demangle = demangle
  }
}

/// What the process that reads files may take.
package struct WorkerLimits: Sendable {
  /// The program that is the worker when it is told to be: leaktrace itself.
  package var program = "/proc/self/exe"
  /// Memory in bytes; files that it maps do not count.
  package var memoryInBytes: UInt64
  /// For one request: CPU time and all time, in seconds. A busy host lets a request wait.
  package var cpuSeconds = 5.0
  package var seconds = 30.0
  /// The same after some requests have failed: whoever makes one file that fails can make a thousand.
  package var laterCPUSeconds = 0.5
  package var laterSeconds = 5.0
  /// So many failures before that.
  package var patientFailures = 3
  /// After so many, no more files are read until the next report.
  package var maximumFailures = 20

  package init(memoryInBytes: UInt64 = 1 << 30) { self.memoryInBytes = memoryInBytes }

  /// Of a service, which must get along with the 256 MiB of its unit.
  package static let service = WorkerLimits(memoryInBytes: 96 << 20)
}
