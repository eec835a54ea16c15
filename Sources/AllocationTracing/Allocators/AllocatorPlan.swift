import Allocators
import ProcessImage
import SystemSupport

/// Where probes go in one process, and why some do not.
package struct AllocatorPlan: Sendable {
  /// In the order of the objects, then of the catalogue.
  package var probes: [AllocatorProbe] = []
  /// The objects that hold allocator functions, in the order of the mappings.
  package var objects: [ProbedObject] = []
  /// Sentences for the report: what was left out, and what follows from that.
  package var notes: [String] = []
  /// Why nothing can be traced and what to do; nil when there are probes.
  package var failure: String?

  /// Whether a function is probed, by that name or by another.
  func hasProbe(of name: String) -> Bool {
    probes.contains { $0.function.name == name || $0.aliases.contains(name) }
  }
}

/// An object file with allocator functions in it.
package struct ProbedObject: Hashable, Sendable {
  /// Path as the target sees it.
  package var path: String
  package var identity: FileIdentity
  package var buildID: String?
}

/// One function to probe.
package struct AllocatorProbe: Sendable {
  package var function: AllocatorFunction
  /// Other symbols that name the same code.
  package var aliases: [String]
  package var object: ProbedObject
  /// The function's ELF virtual address in its object.
  package var address: UInt64
  /// Offset of the function's first byte in the object file.
  package var fileOffset: UInt64
  /// Size of the function in bytes; 0 when the symbol does not tell.
  package var size: UInt64 = 0
  package var site: ProbeSite
  package var returns: ReturnObservation

  /// Offset in the object file at which the probe is placed.
  package var siteFileOffset: UInt64 { fileOffset + site.offset }

  /// How the result of a call is seen.
  package enum ReturnObservation: Hashable, Sendable {
    /// Not needed.
    case none
    /// By a return probe: the kernel replaces the return address.
    case returnProbe
    /// By probes on these instructions (file offsets), which are all of the function's returns. For functions that may
    /// throw: an exception would end at a replaced return address.
    case returnInstructions([UInt64])
    /// By a return probe although the function may throw, because its returns are not all known or are too many. An
    /// exception out of it (memory exhausted) ends the target.
    case returnProbeDespiteExceptions
  }
}
