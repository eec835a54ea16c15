/// How memory is searched for pointers.
package struct ScanOptions: Sendable {
  /// Words are looked at where their address is a multiple of this: 8, or 1 to find pointers in packed structures.
  package var alignment = 8
  /// Whether a pointer into the middle of a block makes it possibly lost instead of definitely lost.
  package var acceptsInteriorPointers = true
  /// Interior pointers that count as pointers to the start of their block.
  package var heuristics = PointerHeuristics.all
  /// Kinds of root that count; roots of other kinds are passed over.
  package var roots = RootPolicy.all
  /// Threads that read and search memory.
  package var threads = 2
  /// Keeps where each pointer was found, for `Reachability.explain`. Costs 4 bytes more per pointer between blocks and
  /// 16 per block that a root points to.
  package var retainsSources = false
  /// Notes from where each block was first reached, for `Reachability.addUpPaths`. Costs 4 bytes per block.
  package var notesHolders = false
  /// The most memory for pointers between blocks; nil is what keeps the whole scan within 64 bytes per block and 8 MiB.
  /// Where it is not enough, blocks are read again instead.
  package var edgeBudgetInBytes: Int?

  /// Bytes read at once by each thread, a multiple of 8. As much as fits into a core's second-level cache is best.
  package var windowBytes = 1 << 19

  package init() {}
}

/// memcheck's heuristics for interior pointers that programs use in place of a pointer to the start.
package struct PointerHeuristics: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The characters of a reference-counted `std::string`, behind its length, capacity and count.
  package static let standardString = PointerHeuristics(rawValue: 1)
  /// What follows a first word that holds the size of the rest.
  package static let length64 = PointerHeuristics(rawValue: 2)
  /// The elements of an array made by `new[]`, behind their number.
  package static let newArray = PointerHeuristics(rawValue: 4)
  /// A base class inside of an object: both it and the object begin with a pointer to a table of virtual functions.
  package static let multipleInheritance = PointerHeuristics(rawValue: 8)

  package static let all: PointerHeuristics = [.standardString, .length64, .newArray, .multipleInheritance]
}

/// Which kinds of memory count as roots, after LeakSanitizer's `use_…` flags.
package struct RootPolicy: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let globals = RootPolicy(rawValue: 1)
  package static let stacks = RootPolicy(rawValue: 2)
  package static let registers = RootPolicy(rawValue: 4)
  package static let threadLocals = RootPolicy(rawValue: 8)
  package static let anonymous = RootPolicy(rawValue: 16)
  package static let unknownHeap = RootPolicy(rawValue: 32)
  package static let interpreterHeaps = RootPolicy(rawValue: 64)
  package static let kernel = RootPolicy(rawValue: 128)

  package static let all: RootPolicy = [
    .globals, .stacks, .registers, .threadLocals, .anonymous, .unknownHeap, .interpreterHeaps, .kernel,
  ]

  package func includes(_ kind: RootKind) -> Bool {
    switch kind {
    case .globals: contains(.globals)
    case .stack: contains(.stacks)
    case .registers: contains(.registers)
    case .threadLocal: contains(.threadLocals)
    case .anonymous: contains(.anonymous)
    case .unknownHeap: contains(.unknownHeap)
    case .interpreterHeap: contains(.interpreterHeaps)
    case .kernel: contains(.kernel)
    }
  }
}
