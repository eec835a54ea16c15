import ProcessImage

/// A language runtime: how a process that has it is recognized, what memory of its own it keeps, and what a trace of native
/// memory says of such a process. Each runtime has a file of its own; ``all`` lists them.
package struct Runtime: Sendable {
  /// Shown to people and read by programs, so it does not change.
  package let name: String
  /// How the names of the libraries begin that contain this runtime.
  let libraries: [String]
  /// Names of executables that are this runtime.
  let executables: [ExecutableName]
  /// Sections that an executable has when this runtime is linked into it.
  let sections: [String]
  /// How the memory is recognized in which its own objects lie; nil where nobody has described it.
  package let heap: HeapLayout?
  /// What a trace sees of such a process: one clause that follows the runtime's name.
  package let visibility: String
  /// What to do about a process that grows.
  let suggest: @Sendable (Subject) -> Suggestion
  /// What is special about functions of its own code; nil where these behave like those of C.
  package let ownCode: OwnCode?

  enum ExecutableName: Sendable {
    case exactly(String)
    case beginning(String)

    func matches(_ name: String) -> Bool {
      switch self {
      case .exactly(let wanted): name == wanted
      case .beginning(let start): name.hasPrefix(start)
      }
    }
  }

  /// The process that something is suggested for.
  package struct Subject: Sendable {
    package var processID: Int32
    /// The allocator that was found in it.
    package var allocator: String?

    package init(processID: Int32, allocator: String? = nil) {
      self.processID = processID
      self.allocator = allocator
    }
  }

  package struct Suggestion: Hashable, Sendable {
    /// Options of `leaktrace trace -p PID`.
    package var options: String
    /// What that shows, and where to look for the rest.
    package var reason: String
  }

  /// Code that return probes would break.
  package struct OwnCode: Sendable {
    /// Says why a function is not probed. Follows the function's name.
    package var whyNotProbed: String
    /// Said of a program in which functions of C code are traced.
    package var whatIsTraced: String
    /// Said of a program that has no such functions.
    package var whyNothing: String
  }

  init(
    _ name: String, libraries: [String] = [], executables: [ExecutableName] = [], sections: [String] = [],
    heap: HeapLayout? = nil, ownCode: OwnCode? = nil,
    visibility: String = "objects of its own heap are seen as that heap's memory",
    suggest: @escaping @Sendable (Subject) -> Suggestion
  ) {
    self.name = name
    self.libraries = libraries
    self.executables = executables
    self.sections = sections
    self.heap = heap
    self.ownCode = ownCode
    self.visibility = visibility
    self.suggest = suggest
  }

  /// Every known runtime. Where a process has several, the first is taken: runtimes that own their process come before those
  /// that are embedded in other programs.
  package static let all: [Runtime] = [java, phpFPM, php, node, ruby, python, dotNet, go]

  // MARK: Recognition

  /// The runtime of a process; ``native`` when it has none.
  ///
  /// - Parameters:
  ///   - executable: path of its program.
  ///   - mappedPaths: of the files that it has mapped.
  package static func find(executable: String?, mappedPaths: some Sequence<String>) -> Runtime {
    let program = fileName(executable ?? "")
    let names = Set(mappedPaths.map(fileName))
    return all.first { runtime in
      runtime.executables.contains { $0.matches(program) }
        || runtime.libraries.contains { library in names.contains { $0.hasPrefix(library) } }
    } ?? native
  }

  /// The runtime that a program has linked into its own file; nil when there is none.
  package static func linked(into file: ElfFile) -> Runtime? {
    all.first { runtime in runtime.sections.contains { file.section(named: $0) != nil } }
  }

  /// The runtime of a running process: by what it has mapped, then by the sections of its program.
  package static func find(processID: Int32, executable: String?, mappedPaths: some Sequence<String>) -> Runtime {
    let found = find(executable: executable, mappedPaths: mappedPaths)
    guard found == native, let file = try? ElfFile(path: "/proc/\(processID)/exe") else { return found }
    return linked(into: file) ?? native
  }

  private static func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }

  package func suggestion(for subject: Subject) -> Suggestion { suggest(subject) }
}

extension Runtime: Hashable {
  package static func == (left: Runtime, right: Runtime) -> Bool { left.name == right.name }
  package func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

extension Runtime.Suggestion {
  /// A trace that shows what grows, for runtimes whose own tools say more about their objects.
  static func growth(_ reason: String) -> Self { Self(options: "--sort growth --duration 60s", reason: reason) }

  /// A trace with verdicts, which names the native blocks that only the interpreter's objects refer to.
  static func verdicts(_ runtime: String) -> Self {
    Self(
      options: "--leak-check --sort growth 10 6",
      reason: "\(runtime): native memory with verdicts; what only the interpreter's heap refers to is named so")
  }
}
