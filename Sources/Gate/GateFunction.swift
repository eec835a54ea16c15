import Allocators
import ProcessImage

/// An allocator function of one process that is to be led through a gate.
package struct GateFunction {
  /// The number by which the BPF programs know its probes.
  package var probe: UInt32
  package var function: AllocatorFunction
  /// Address of its first byte in the process.
  package var address: UInt64
  package var entry: EntryCode
  /// The function's code, as its file has it.
  package var code: [UInt8]
  /// Whether it may call another function of the gate, which then must not count what it hands out.
  package var mayNest = false

  package init(probe: UInt32, function: AllocatorFunction, address: UInt64, entry: EntryCode, code: [UInt8]) {
    self.probe = probe
    self.function = function
    self.address = address
    self.entry = entry
    self.code = code
  }

  /// Where the jump to the gate stands.
  package var patchAddress: UInt64 { address &+ UInt64(entry.firstLength) }
  /// The bytes in whose place the jump stands, as the file has them.
  package var original: [UInt8] {
    Array(code[entry.firstLength..<entry.firstLength + EntryCode.jumpLength])
  }
  /// Whether the jump can be put there in one go.
  package var canBePatched: Bool { CodeWriter.isInOnePage(patchAddress, EntryCode.jumpLength) }
  /// Where no jump may lead to.
  package var forbidden: Range<UInt64> {
    address &+ UInt64(entry.forbidden.lowerBound)..<address &+ UInt64(entry.forbidden.upperBound)
  }
  /// Where no thread may stand when the jump is put there or taken off: inside of what it replaces.
  package var dangerous: Range<UInt64> { forbidden.lowerBound &+ 1..<forbidden.upperBound }
}

/// Which calls go on to a probe.
package struct GateSelection: Hashable, Sendable {
  package enum Sampling: Hashable, Sendable {
    case none
    /// Mean bytes between samples.
    case bytes(UInt64)
    /// One call in so many, at random.
    case calls(UInt64)
  }
  package var sampling: Sampling
  package var sizes: ClosedRange<UInt64>

  package init(sampling: Sampling, sizes: ClosedRange<UInt64>) {
    self.sampling = sampling
    self.sizes = sizes
  }

  package var filtersSizes: Bool { sizes != 0...UInt64.max }
  /// Whether the process itself has to know which blocks were chosen.
  package var isPartial: Bool { sampling != .none || filtersSizes }
}

/// A place of a gate's code that a probe belongs on.
package struct GatePlace: Hashable, Sendable {
  package enum Role: Hashable, Sendable {
    /// Behind a call that hands out a block.
    case allocated
    /// Before a call that is given a block to change its size, or that may make another call of an allocator's.
    case entered
    /// Before a call that frees a block.
    case freed
  }
  package var role: Role
  package var probe: UInt32
  /// Offset in the gate's file.
  package var offset: UInt64
}
