import CProcessControl
import Glibc
import ProcessControl
import ProcessImage
import SystemSupport
import TraceModel

/// Gates that earlier traces have left in a process: the memory of each stays mapped, and where a trace was killed, functions
/// still lead there. What the process says of them is only believed where it does no harm to anybody else.
package struct LeftGates {
  package let mappings: [Mapping]

  /// - Parameters:
  ///   - mappings: of the process.
  ///   - own: where gates of this trace begin.
  package init(mappings: [Mapping], except own: Set<UInt64>) {
    self.mappings = mappings.filter {
      $0.path == "/memfd:" + InstalledGate.name && $0.permissions.contains(.execute) && !own.contains($0.start)
    }
  }

  package var isEmpty: Bool { mappings.isEmpty }

  /// Whether there are probes in one of them: the kernel has put breakpoints in place of what the file has.
  package func areInUse(by processID: Int32) -> Bool {
    guard let memory = try? RemoteMemory(processID: processID) else { return false }
    return mappings.contains { mapping in
      let count = Int(min(mapping.end &- mapping.start, GateLayout.codeBytes))
      guard let file = try? Self.open(mapping, processID), let bytes = Self.contents(file.descriptor, count) else {
        return false
      }
      return memory.bytes(at: mapping.start, count: count) != bytes
    }
  }

  private static func open(_ mapping: Mapping, _ processID: Int32) throws(ProcessError) -> OpenFile {
    try RootedFile.open(mapping: mapping, processID: processID)
  }

  private static func contents(_ descriptor: Int32, _ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return pread(descriptor, &bytes, count, 0) == count ? bytes : nil
  }

  /// A jump that leads into a gate nobody has probes in, and what its file has there.
  package struct Jump {
    var address: UInt64
    var original: [UInt8]
  }

  /// Finds them by comparing code in memory with its file.
  package func jumps(in mapping: Mapping, file: UnsafeRawBufferPointer, memory: any MemoryReader) -> [Jump] {
    var found: [Jump] = []
    let size = Int(min(mapping.end &- mapping.start, UInt64(file.count)))
    var done = 0
    // Pieces overlap, so that no jump is missed between two.
    while done < size {
      let part = min(1 << 16, size - done)
      let bytes = memory.bytes(at: mapping.start &+ UInt64(done), count: min(part + 8, size - done))
      guard !bytes.isEmpty else { return found }
      bytes.withUnsafeBytes { bytes in
        let same = UnsafeRawBufferPointer(rebasing: file[done..<done + bytes.count])
        guard memcmp(bytes.baseAddress!, same.baseAddress!, bytes.count) != 0 else { return }
        for offset in 0..<min(part, bytes.count) where bytes[offset] == 0xe9 && same[offset] != 0xe9 {
          guard offset + EntryCode.jumpLength <= bytes.count else { break }
          let distance = bytes.loadUnaligned(fromByteOffset: offset + 1, as: Int32.self)
          let address = mapping.start &+ UInt64(done + offset)
          let target = address &+ UInt64(EntryCode.jumpLength) &+ UInt64(bitPattern: Int64(distance))
          guard mappings.contains(where: { $0.contains(target) }) else { continue }
          found.append(Jump(address: address, original: Array(same[offset..<offset + EntryCode.jumpLength])))
        }
      }
      done += part
    }
    return found
  }

  /// Leads functions of a stopped process where their files do.
  package static func takeOff(_ jumps: [Jump], in target: StoppedTarget) throws(GateFailure) {
    for jump in jumps {
      guard CodeWriter.write(jump.original, at: jump.address, target) else {
        throw .refused("its code cannot be written to")
      }
    }
  }

  /// A gate that can be used again, because its code is what would be made now.
  package func reusable(_ plan: (UInt64) -> GatePlan?, processID: Int32) -> InstalledGate? {
    for mapping in mappings where mapping.end &- mapping.start == GateLayout.codeBytes {
      guard let plan = plan(mapping.start), let file = try? Self.open(mapping, processID),
        let bytes = Self.contents(file.descriptor, Int(GateLayout.codeBytes)),
        bytes.elementsEqual(plan.file.prefix(bytes.count)), cprocess_is_sealed(file.descriptor)
      else { continue }
      return InstalledGate(plan: plan, file: file, isReused: true)
    }
    return nil
  }
}

/// Writes code of a stopped process.
enum CodeWriter {
  /// Whether some bytes are in one page: across two they would be written in two steps, of which only one might be done.
  static func isInOnePage(_ address: UInt64, _ count: Int) -> Bool {
    address >> 12 == (address &+ UInt64(count - 1)) >> 12
  }

  /// In one go, or not at all, whatever becomes of us meanwhile.
  static func write(_ bytes: [UInt8], at address: UInt64, _ target: StoppedTarget) -> Bool {
    guard isInOnePage(address, bytes.count) else { return false }
    if writeMemory(of: target.processID, bytes, at: address) { return true }
    // Where the kernel does not let the file be written (proc_mem.force_override), a word at a time.
    guard address & ~7 == (address &+ UInt64(bytes.count - 1)) & ~7 else { return false }
    return (try? target.calls.poke(bytes, at: address)) != nil
  }
}
