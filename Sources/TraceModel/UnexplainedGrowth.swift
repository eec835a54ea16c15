/// Memory that a process took while it was traced and that no traced call asked for: mapped by system calls that pass the C
/// library by, as Go and some runtimes make them, or by functions that are not probed.
package struct UnexplainedGrowth: Hashable, Codable, Sendable {
  package var processID: Int32
  /// By how much the process has grown through it, in memory and swap; never more than its whole growth.
  package var bytes: UInt64
  /// Its resident and swapped bytes by class of mapping, largest first. They may add up to more than `bytes`, where the process
  /// gave other memory back.
  package var parts: [Part]

  package struct Part: Hashable, Codable, Sendable {
    package var kind: Class
    package var bytes: UInt64
    package init(kind: Class, bytes: UInt64) {
      self.kind = kind
      self.bytes = bytes
    }
  }

  /// What a mapping is. The raw value is what programs read, `words` is for people.
  package enum Class: String, Hashable, Codable, Sendable, CaseIterable {
    case anonymous
    /// Behind the program break that the C library has set.
    case heap
    case stack
    /// Pages of a private mapping of a file that the process has written to. Pages of the file itself are the page cache's.
    case file
    case sharedMemory = "shared_memory"
    case hugePages = "huge_pages"
    /// A heap that a language runtime maps for its own objects.
    case runtimeHeap = "runtime_heap"

    package var words: String {
      switch self {
      case .anonymous: "anonymous memory"
      case .heap: "heap moved past the C library"
      case .stack: "stack"
      case .file: "written pages of private file mappings"
      case .sharedMemory: "shared memory"
      case .hugePages: "huge pages"
      case .runtimeHeap: "the runtime's own heap"
      }
    }
  }

  package init(processID: Int32, bytes: UInt64, parts: [Part]) {
    self.processID = processID
    self.bytes = bytes
    self.parts = parts
  }
}

extension UnexplainedGrowth {
  /// Several processes' together, as one; nil where there is none.
  package static func sum(_ all: [UnexplainedGrowth]) -> (bytes: UInt64, parts: [Part])? {
    guard !all.isEmpty else { return nil }
    var sums: [Class: UInt64] = [:]
    for part in all.flatMap(\.parts) { sums[part.kind, default: 0] &+= part.bytes }
    return (
      all.reduce(0) { $0 &+ $1.bytes },
      Class.allCases.compactMap { kind in sums[kind].map { Part(kind: kind, bytes: $0) } }
        .sorted { $0.bytes > $1.bytes }
    )
  }
}
