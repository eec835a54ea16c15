import ProcessImage

/// A language runtime: how a process is recognized that has it, what memory it keeps of its own, and what a trace of
/// native memory says of such a process. Each stands in a file of its own; ``all`` lists them.
package struct Runtime: Sendable {
  /// For people and for machines: stable.
  package let name: String
  /// Beginnings of names of the libraries that have this runtime in them.
  let libraries: [String]
  /// Names of executables that are this runtime.
  let executables: [ExecutableName]
  /// Sections of an executable that this runtime is linked into.
  let sections: [String]
  /// How memory is told that its own objects lie in; nil where nobody has described it.
  package let heap: HeapLayout?
  /// What a trace sees of such a process, in one clause behind its name.
  package let visibility: String
  /// What to do about a process that grows.
  let suggest: @Sendable (Subject) -> Suggestion
  /// What holds for functions of its own code; nil where these are like those of C.
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

  /// Code that return probes break.
  package struct OwnCode: Sendable {
    /// Follows the name of a function that is not probed therefore.
    package var whyNotProbed: String
    /// Of a program in which functions of C code are traced.
    package var whatIsTraced: String
    /// Of a program without such functions.
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

  /// Every runtime there is. Of several in one process the first is taken: the one that owns the process before those that
  /// are embedded in programs.
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
  /// A trace of what grows: where the runtime's own tools say more about its objects.
  static func growth(_ reason: String) -> Self { Self(options: "--sort growth --duration 60s", reason: reason) }

  /// A trace with verdicts: native blocks that only the interpreter's objects refer to are named so.
  static func verdicts(_ runtime: String) -> Self {
    Self(
      options: "--leak-check --sort growth 10 6",
      reason: "\(runtime): native memory with verdicts; what only the interpreter's heap refers to is named so")
  }
}
