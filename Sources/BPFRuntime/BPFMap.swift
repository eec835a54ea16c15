import CLibBPF
import Glibc

/// A map of a loaded object, which it keeps alive.
package struct BPFMap {
  let owner: BPFObject
  package let descriptor: Int32
  package let name: String
  package let keySize: Int
  package let valueSize: Int
  package let maxEntries: Int

  package static var possibleCPUs: Int { max(1, Int(libbpf_num_possible_cpus())) }

  /// The value under `key`, or nil when there is none.
  package func value<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ type: Value.Type, for key: Key
  ) -> Value? {
    precondition(MemoryLayout<Key>.size == keySize && MemoryLayout<Value>.size <= valueSize)
    return withUnsafeTemporaryAllocation(byteCount: valueSize, alignment: 16) { buffer in
      withUnsafeBytes(of: key) {
        bpf_map_lookup_elem(descriptor, $0.baseAddress!, buffer.baseAddress!)
      } == 0 ? buffer.load(as: Value.self) : nil
    }
  }

  /// The value under `key` as 64-bit words, or nil when there is none.
  package func words<Key: BitwiseCopyable>(for key: Key) -> [UInt64]? {
    precondition(MemoryLayout<Key>.size == keySize)
    var isFound = false
    let words = [UInt64](unsafeUninitializedCapacity: (valueSize + 7) / 8) { buffer, count in
      isFound =
        withUnsafeBytes(of: key) {
          bpf_map_lookup_elem(descriptor, $0.baseAddress!, buffer.baseAddress!)
        } == 0
      count = isFound ? buffer.count : 0
    }
    return isFound ? words : nil
  }

  package func set<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ value: Value, for key: Key
  ) throws(BPFError) {
    precondition(MemoryLayout<Key>.size == keySize && MemoryLayout<Value>.size == valueSize)
    let error = withUnsafeBytes(of: key) { key in
      withUnsafeBytes(of: value) { value in
        bpf_map_update_elem(descriptor, key.baseAddress!, value.baseAddress!, UInt64(BPF_ANY))
      }
    }
    guard error == 0 else { throw BPFError(operation: "update map \(name)", code: errno) }
  }

  /// Sets the value under `key` from 64-bit words. Returns whether there was room.
  package func set<Key: BitwiseCopyable>(words: [UInt64], for key: Key) -> Bool {
    precondition(MemoryLayout<Key>.size == keySize && words.count * 8 == valueSize)
    return withUnsafeBytes(of: key) { key in
      words.withUnsafeBytes {
        bpf_map_update_elem(descriptor, key.baseAddress!, $0.baseAddress!, UInt64(BPF_ANY)) == 0
      }
    }
  }

  /// Removes the entry; no error when there was none.
  package func remove<Key: BitwiseCopyable>(_ key: Key) {
    _ = withUnsafeBytes(of: key) { bpf_map_delete_elem(descriptor, $0.baseAddress!) }
  }

  /// The words of a per-CPU array element, added over all CPUs.
  package func sumOverCPUs(index: UInt32 = 0) -> [UInt64] {
    let stride = (valueSize + 7) / 8
    let cpus = Self.possibleCPUs
    var sums = [UInt64](repeating: 0, count: stride)
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: stride * cpus) { buffer in
      var key = index
      guard bpf_map_lookup_elem(descriptor, &key, buffer.baseAddress!) == 0 else { return }
      for cpu in 0..<cpus {
        for word in 0..<stride { sums[word] &+= buffer[cpu * stride + word] }
      }
    }
    return sums
  }

  /// Maps an mmap-able array into this process, shared with the kernel.
  package func memoryMapped() throws(BPFError) -> MappedArray {
    try MappedArray(map: self, from: 0, size: byteCount)
  }

  /// The bytes of an array map's elements together, as they are mapped.
  package var byteCount: Int {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let stride = (valueSize + 7) / 8 * 8
    return (stride * maxEntries + page - 1) / page * page
  }

  /// Gives `body` one window of an mmap-able array after the other, so that a large one never counts as our memory whole.
  ///
  /// - Parameter size: bytes of a window, a multiple of the page size and of the element size.
  package func forEachWindow(
    ofSize size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
  ) throws(BPFError) {
    try forEachWindow(ofSize: size, in: 0..<(byteCount + size - 1) / size) { body($1) }
  }

  /// The same for some of the windows.
  ///
  /// - Parameters:
  ///   - size: bytes of a window, a multiple of the page size and of the element size.
  ///   - numbers: which windows.
  ///   - body: is also told at which byte the window begins.
  package func forEachWindow(
    ofSize size: Int, in numbers: Range<Int>, _ body: (_ offset: Int, UnsafeMutableRawBufferPointer) -> Void
  ) throws(BPFError) {
    for number in numbers where number * size < byteCount {
      let offset = number * size
      let window = try MappedArray(map: self, from: offset, size: min(size, byteCount - offset))
      body(offset, window.bytes)
    }
  }
}

/// The elements of an mmap-able array map as plain memory that the programs change at the same time.
package final class MappedArray {
  package let bytes: UnsafeMutableRawBufferPointer
  private let map: BPFMap

  fileprivate init(map: BPFMap, from offset: Int, size: Int) throws(BPFError) {
    let memory = mmap(
      nil, size, Int32(PROT_READ | PROT_WRITE), MAP_SHARED, map.descriptor, off_t(offset))
    guard let memory, memory != MAP_FAILED else {
      throw BPFError(operation: "map \(map.name) into memory", code: errno)
    }
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: size)
    self.map = map
  }

  deinit { munmap(bytes.baseAddress!, bytes.count) }
}
