import CLibBPF
import Glibc

extension BPFMap {
  /// Calls `body` with each CPU's value of a per-CPU array element.
  package func forEachCPUValue(
    index: UInt32 = 0, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(BPFError) {
    let stride = (valueSize + 7) / 8 * 8
    let cpus = Self.possibleCPUs
    let error = withUnsafeTemporaryAllocation(byteCount: stride * cpus, alignment: 16) { buffer in
      var key = index
      let result = bpf_map_lookup_elem(descriptor, &key, buffer.baseAddress!)
      for cpu in 0..<cpus where result == 0 {
        body(UnsafeRawBufferPointer(rebasing: buffer[cpu * stride..<(cpu + 1) * stride]))
      }
      return result
    }
    guard error == 0 else { throw BPFError(operation: "read map \(name)", code: -error) }
  }

  /// The keys that a hash holds now.
  package func keys<Key: BitwiseCopyable>(of type: Key.Type) -> [Key] {
    precondition(MemoryLayout<Key>.size == keySize)
    var keys: [Key] = []
    withUnsafeTemporaryAllocation(of: Key.self, capacity: 2) { buffer in
      let current = buffer.baseAddress!
      let next = current + 1
      guard bpf_map_get_next_key(descriptor, nil, next) == 0 else { return }
      repeat {
        keys.append(next.pointee)
        current.pointee = next.pointee
      } while keys.count < maxEntries && bpf_map_get_next_key(descriptor, current, next) == 0
    }
    return keys
  }
}
