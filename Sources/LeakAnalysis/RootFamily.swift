/// The kinds of root a leak check can be told to use or to leave out, as LeakSanitizer's `use_*` options do.
package enum RootFamily: String, Hashable, Sendable, CaseIterable {
  case globals, stacks, registers
  /// Thread-local storage.
  case tls
  /// Memory mapped by somebody not known.
  case anonymous
  /// Heap memory from before the trace.
  case heap
  /// Heaps of language runtimes.
  case interpreters
  case kernel
}

extension RootKind {
  package var family: RootFamily {
    switch self {
    case .globals: .globals
    case .stack: .stacks
    case .registers: .registers
    case .threadLocal: .tls
    case .anonymous: .anonymous
    case .unknownHeap: .heap
    case .interpreterHeap: .interpreters
    case .kernel: .kernel
    }
  }
}
