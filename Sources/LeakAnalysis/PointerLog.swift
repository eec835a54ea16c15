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

  /// Memory of one, without addresses.
  static let byteCount = capacity * 12

  init(keepsAddresses: Bool) {
    let valueMemory = PageMemory(of: UInt64.self, count: Self.capacity)
    let holderMemory = PageMemory(of: Int32.self, count: Self.capacity)
    values = valueMemory.elements(of: UInt64.self)
    holders = holderMemory.elements(of: Int32.self)
    guard keepsAddresses else {
      addresses = nil
      memory = [valueMemory, holderMemory]
      return
    }
    let addressMemory = PageMemory(of: UInt64.self, count: Self.capacity)
    addresses = addressMemory.elements(of: UInt64.self)
    memory = [valueMemory, holderMemory, addressMemory]
  }
}

/// The chunks that wait for being resolved, at most a given number.
final class PointerLog: Sendable {
  private let limit: Int
  private let chunks = Mutex<[PointerChunk]>([])

  /// - Parameter budget: in bytes.
  init(budget: Int) { limit = budget / PointerChunk.byteCount }

  /// Keeps a chunk; false when there is no room.
  func keep(_ chunk: PointerChunk) -> Bool {
    chunks.withLock { chunks in
      guard chunks.count < limit else { return false }
      chunks.append(chunk)
      return true
    }
  }

  /// Takes a chunk that was kept.
  func take() -> PointerChunk? { chunks.withLock { $0.popLast() } }
}
