/// One function that hands out or takes back memory, as the tracer sees it: its meaning and where its arguments are.
package struct AllocatorFunction: Hashable, Sendable {
  /// Symbol name, mangled for C++.
  package var name: String
  package var kind: Kind
  package var traits: Traits

  package init(_ name: String, _ kind: Kind, _ traits: Traits = []) {
    self.name = name
    self.kind = kind
    self.traits = traits
  }

  /// What a call does. The numbers are argument indices, 0...5.
  package enum Kind: Hashable, Sendable {
    case allocate(size: Int)
    /// `count` × `size` bytes; fails when the product overflows.
    case allocateCounted(count: Int, size: Int)
    case reallocate(pointer: Int, size: Int)
    case reallocateCounted(pointer: Int, count: Int, size: Int)
    /// Stores the pointer where `out` points and returns 0 on success.
    case allocateToPointer(out: Int, size: Int)
    case free(pointer: Int)
    /// The C library's own system calls. They are probed behind the call, except `unmap`, which is probed at its entry.
    case map, remap, unmap, programBreak
    /// `pthread_create`, probed at its entry.
    case createThread
  }

  package struct Traits: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// An allocator without this function is unusable.
    package static let isRequired = Traits(rawValue: 1)
    /// May end with a C++ exception, which cannot pass a replaced return address.
    package static let mayThrow = Traits(rawValue: 2)
    /// May call another probed function, so its return must be seen even when its block is not recorded.
    package static let mayNest = Traits(rawValue: 4)
    /// May return a pointer into a larger block that it got from a plain allocator function.
    package static let isAligned = Traits(rawValue: 8)
    /// A C++ operator, which C++ libraries implement with the C functions.
    package static let isOperator = Traits(rawValue: 16)
  }

  package var isFree: Bool {
    if case .free = kind { return true }
    return false
  }

  /// Whether it changes the address space or creates a thread, and is no allocator function.
  package var isSystemCall: Bool {
    switch kind {
    case .map, .remap, .unmap, .programBreak, .createThread: true
    default: false
    }
  }

  /// The arguments in the order in which the BPF program takes them.
  package var arguments: [Int] {
    switch kind {
    case .allocate(let size): [size]
    case .allocateCounted(let count, let size): [count, size]
    case .reallocate(let pointer, let size): [pointer, size]
    case .reallocateCounted(let pointer, let count, let size): [pointer, count, size]
    case .allocateToPointer(let out, let size): [out, size]
    case .free(let pointer): [pointer]
    case .map, .remap, .unmap, .programBreak, .createThread: []
    }
  }

  /// Whether this function needs no probe if it calls `inner` on every path: both then hand out, or take, the same block.
  package func isServed(by inner: AllocatorFunction) -> Bool {
    switch kind {
    case .free: return inner.isFree
    case .map, .remap, .unmap, .programBreak, .createThread: return false
    case .reallocate, .reallocateCounted:
      switch inner.kind {
      case .reallocate, .reallocateCounted: return true
      default: return false
      }
    case .allocate, .allocateCounted, .allocateToPointer:
      switch inner.kind {
      case .allocate, .allocateCounted, .allocateToPointer:
        return !traits.contains(.isAligned) || inner.traits.contains(.isAligned)
      default: return false
      }
    }
  }
}
