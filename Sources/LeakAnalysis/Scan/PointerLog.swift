import Synchronization

/// Words that can point to blocks, as they were found: the value, and what holds it. Where they lead is found out later, when
/// the process runs again, as far as there is room for them.
final class PointerChunk: @unchecked Sendable {
  /// Places for words; what comes from one batch always fits behind `limit`.
  static let limit = 1 << 15
  private static let capacity = limit + PointerResolver.batch

  let values: UnsafeMutablePointer<UInt64>
  /// The block that holds each, or −1 minus the number of the root's segment.
  let holders: UnsafeMutablePointer<Int32>
  /// The address of each, if sources are kept.
  let addresses: UnsafeMutablePointer<UInt64>?
  var count = 0
  private let memory: [PageMemory]

  /// The bytes that one chunk takes when addresses are not kept.
  static let byteCount = capacity * 12

  /// - Parameter memory: room for `byteCount` bytes at a place in it, instead of memory of its own; without addresses.
  init(keepsAddresses: Bool, in memory: (PageMemory, at: Int)? = nil) {
    if let (memory, place) = memory {
      values = (memory.base + place).assumingMemoryBound(to: UInt64.self)
      holders = (memory.base + place + Self.capacity * 8).assumingMemoryBound(to: Int32.self)
      addresses = nil
      self.memory = [memory]
      return
    }
    let valueMemory = PageMemory(of: UInt64.self, count: Self.capacity)
    let holderMemory = PageMemory(of: Int32.self, count: Self.capacity)
    values = valueMemory.elements(of: UInt64.self)
    holders = holderMemory.elements(of: Int32.self)
    guard keepsAddresses else {
      addresses = nil
      self.memory = [valueMemory, holderMemory]
      return
    }
    let addressMemory = PageMemory(of: UInt64.self, count: Self.capacity)
    addresses = addressMemory.elements(of: UInt64.self)
    self.memory = [valueMemory, holderMemory, addressMemory]
  }
}

extension PointerChunk {
  /// Adds a word, for which there must be room.
  @inline(__always)
  func append(_ value: UInt64, holder: Int, at address: UInt64) {
    values[count] = value
    holders[count] = Int32(truncatingIfNeeded: holder)
    if let addresses { addresses[count] = address }
    count &+= 1
  }
}

/// The chunks that wait for being resolved, at most a given number.
final class PointerLog: Sendable {
  private let limit: Int
  private let keepsAddresses: Bool
  private let state: Mutex<State>

  private struct State {
    var chunks: [PointerChunk] = []
    /// Memory for chunks to come, and how much of it is taken.
    var memory: PageMemory?
    var takenBytes = 0

    mutating func takePlace() -> (PageMemory, at: Int)? {
      guard let memory, memory.byteCount - takenBytes >= PointerChunk.byteCount else {
        memory = nil
        return nil
      }
      defer { takenBytes += PointerChunk.byteCount }
      return (memory, at: takenBytes)
    }
  }

  /// - Parameters:
  ///   - budget: in bytes.
  ///   - memory: no longer needed, and used as long as it lasts: the kernel need not provide other then.
  init(budget: Int, keepsAddresses: Bool, memory: PageMemory?) {
    limit = budget / PointerChunk.byteCount
    self.keepsAddresses = keepsAddresses
    state = Mutex(State(memory: memory))
  }

  /// A chunk to fill.
  func makeChunk() -> PointerChunk {
    let place = keepsAddresses ? nil : state.withLock { $0.takePlace() }
    return PointerChunk(keepsAddresses: keepsAddresses, in: place)
  }

  /// Keeps a chunk; false when there is no room.
  func keep(_ chunk: PointerChunk) -> Bool {
    state.withLock { state in
      guard state.chunks.count < limit else { return false }
      state.chunks.append(chunk)
      return true
    }
  }

  /// Takes a chunk that was kept.
  func take() -> PointerChunk? { state.withLock { $0.chunks.popLast() } }

  /// No chunks will be made any more.
  func close() { state.withLock { $0.memory = nil } }
}
