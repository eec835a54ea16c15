import Glibc
import ProcessImage

/// What kind of program a process runs: how its leaks are found depends on who manages its memory.
package struct TargetProfile: Hashable, Sendable {
  package enum Runtime: String, Hashable, Sendable, CaseIterable {
    case java = "Java"
    case go = "Go"
    case node = "Node"
    case phpFPM = "PHP-FPM"
    case php = "PHP"
    case python = "Python"
    case ruby = "Ruby"
  }

  package enum Allocator: String, Hashable, Sendable, CaseIterable {
    case glibc, musl, jemalloc, tcmalloc, mimalloc
  }

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
    self.init(mappedPaths: paths, executable: executable, command: nil)
    // Go links everything into one file, which has a section of its own.
    if runtime == nil, let file = try? ElfFile(path: "/proc/\(processID)/exe"),
      file.section(named: ".go.buildinfo") != nil || file.section(named: ".gopclntab") != nil
    {
      runtime = .go
    }
  }

  package init(mappedPaths: [String], executable: String?, command: String?) {
    self.executable = executable
    let names = Set(mappedPaths.map { String($0.split(separator: "/").last ?? "") })
    let own = String((executable ?? "").split(separator: "/").last ?? "")
    func isMapped(_ prefix: String) -> Bool { names.contains { $0.hasPrefix(prefix) } }
    // A preloaded allocator takes the place of the C library's.
    if isMapped("libjemalloc") {
      allocator = .jemalloc
    } else if isMapped("libtcmalloc") {
      allocator = .tcmalloc
    } else if isMapped("libmimalloc") {
      allocator = .mimalloc
    } else if isMapped("ld-musl") || isMapped("libc.musl") {
      allocator = .musl
    } else if isMapped("libc.so.6") || isMapped("libc-2.") {
      allocator = .glibc
    }
    if isMapped("libjvm.so") {
      runtime = .java
    } else if own.hasPrefix("php-fpm") {
      runtime = .phpFPM
    } else if own.hasPrefix("php") {
      runtime = .php
    } else if own == "node" || own == "nodejs" || isMapped("libnode.so") {
      runtime = .node
    } else if own.hasPrefix("ruby") || isMapped("libruby") {
      runtime = .ruby
    } else if own.hasPrefix("python") || isMapped("libpython") {
      runtime = .python
    }
  }
}
