import BPFRuntime
import CTraceABI
import CTraceObjects
import Glibc
import ProcessImage
import TraceModel

/// Reads what is executable in processes. Each area has an identity, by which the stack walker tells it from another area
/// that took its place.
package final class AddressSpaceReader {
  private let program: BPFProgram?

  /// On kernels that have no such iterator (before Linux 6.1), identities are unknown.
  package init() {
    let image = ctrace_address_space()
    let bytes = UnsafeRawBufferPointer(start: image.bytes, count: image.size)
    program = try? OpenBPFObject(name: "address_space", bytes: bytes).load()
      .program("executable_areas")
  }

  package struct Reading {
    /// The thread through which the process could be read.
    package var threadID: Int32
    /// All mappings of the process.
    package var mappings: [Mapping]
    /// Those of the executable mappings that stayed the same while they were read.
    package var snapshot: AddressSpaceSnapshot
  }

  /// Reads a process. Throws when it is gone or may not be inspected.
  ///
  /// - Parameter examine: called with the executable areas, and with a thread through which their files can be opened,
  ///   before it is checked that the areas are still the same.
  package func read(
    processID: Int32, examine: (AddressSpaceSnapshot, _ threadID: Int32) throws -> Void = { _, _ in }
  ) throws -> Reading {
    let thread = ProcessInfo.readableThread(of: processID)
    let before = identities(of: thread)
    let mappings = try ProcessMaps.read(processID: thread)
    guard let before else {
      let snapshot = AddressSpaceSnapshot(mappings: mappings)
      try examine(snapshot, thread)
      return Reading(threadID: thread, mappings: mappings, snapshot: snapshot)
    }
    let candidates = snapshot(of: mappings, before)
    try examine(candidates, thread)
    let after = identities(of: thread) ?? [:]
    var result = snapshot(of: mappings, after)
    if before != after {
      result.isWhole = false
      result.areas.removeAll { area in !candidates.areas.contains(area) }
    }
    return Reading(threadID: thread, mappings: mappings, snapshot: result)
  }

  private struct Extent: Hashable {
    var start: UInt64
    var end: UInt64
  }

  private func snapshot(of mappings: [Mapping], _ identities: [Extent: UInt64]) -> AddressSpaceSnapshot {
    var snapshot = AddressSpaceSnapshot()
    for mapping in mappings where mapping.permissions.contains(.execute) {
      if let identity = identities[Extent(start: mapping.start, end: mapping.end)] {
        snapshot.areas.append(.init(mapping: mapping, identity: identity))
      } else if mapping.path != "[vsyscall]" {  // which the kernel shows without having an area for it
        snapshot.isWhole = false
      }
    }
    return snapshot
  }

  private func identities(of thread: Int32) -> [Extent: UInt64]? {
    guard let program, let bytes = try? program.iterate(threadID: thread) else { return nil }
    var identities: [Extent: UInt64] = [:]
    let size = MemoryLayout<lt_unwind_area>.size
    bytes.withUnsafeBytes { bytes in
      for offset in stride(from: 0, to: bytes.count - size + 1, by: size) {
        let area = bytes.loadUnaligned(fromByteOffset: offset, as: lt_unwind_area.self)
        identities[Extent(start: area.start, end: area.end)] = area.identity
      }
    }
    return identities
  }
}
