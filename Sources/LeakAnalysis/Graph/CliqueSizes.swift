/// How many bytes and blocks each leader of a clique keeps. Pages of the array that belong to no leader are never
/// touched.
final class CliqueSizes: @unchecked Sendable {
  private let byteMemory: PageMemory
  private let countMemory: PageMemory
  private let bytes: UnsafeMutablePointer<UInt64>
  private let counts: UnsafeMutablePointer<UInt32>

  init(blocks: Int) {
    byteMemory = PageMemory(of: UInt64.self, count: blocks)
    countMemory = PageMemory(of: UInt32.self, count: blocks)
    bytes = byteMemory.elements(of: UInt64.self)
    counts = countMemory.elements(of: UInt32.self)
  }

  subscript(block: Int) -> (bytes: UInt64, count: UInt32) { (bytes[block], counts[block]) }

  func add(_ size: (bytes: UInt64, count: UInt32), to block: Int) {
    if size.count == 0 { return }
    bytes[block] &+= size.bytes
    counts[block] &+= size.count
  }

  func clear(_ block: Int) {
    if counts[block] == 0 { return }
    bytes[block] = 0
    counts[block] = 0
  }
}
