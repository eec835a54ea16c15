/// What kind of memory a root is.
package enum RootKind: Hashable, Sendable {
  /// Writable data of an executable or a library.
  case globals
  /// A thread's stack from its stack pointer up.
  case stack
  case registers
  /// Thread-local variables, `pthread_setspecific` values and the thread's control block.
  case threadLocal
  /// Other writable memory that was mapped by somebody not known.
  case anonymous
  /// Heap memory in use that was allocated before the trace began, as far as can be known.
  case unknownHeap
  /// The heap of a language runtime, by its name, such as `CPython arena`.
  case interpreterHeap(String)
  /// Values the kernel holds for the process (epoll data and the like).
  case kernel
}

/// Memory that a program can reach without following a pointer from a block.
package struct Root: Hashable, Sendable {
  package var range: Range<UInt64>
  package var kind: RootKind
  /// For people: the module's path, or the thread's id and name.
  package var name: String

  package init(range: Range<UInt64>, kind: RootKind, name: String) {
    self.range = range
    self.kind = kind
    self.name = name
  }
}

/// A single word that a program can reach: a register, or a pointer that the kernel holds for it.
package struct RootValue: Hashable, Sendable {
  package var value: UInt64
  package var kind: RootKind
  package var name: String

  package init(value: UInt64, kind: RootKind, name: String) {
    self.value = value
    self.kind = kind
    self.name = name
  }
}
