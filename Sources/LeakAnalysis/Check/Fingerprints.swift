import ProcessImage
import TraceModel

/// What lost blocks held at one moment. A block that is written to afterwards is in use, even if no pointer to it was
/// found while the process ran.
struct Fingerprints {
  private struct Fingerprint {
    var address: UInt64
    var byteCount: Int
    var hash: UInt64
  }

  private let fingerprints: [Fingerprint]
  private let memory: RemoteMemory?

  /// Of each block so many bytes at most.
  private static let byteLimit = 1024
  /// Of so many blocks: a system call each.
  private static let blockLimit = 200_000

  init(of reachability: Reachability, processID: Int32) {
    let memory = try? RemoteMemory(processID: processID)
    self.memory = memory
    var fingerprints: [Fingerprint] = []
    var block = 0
    while let memory, block < reachability.count, fingerprints.count < Self.blockLimit {
      if reachability.kind(block) != .stillReachable {
        let (found, _) = reachability.block(block)
        let count = Int(min(found.sizeInBytes, UInt64(Self.byteLimit)))
        fingerprints.append(
          Fingerprint(
            address: found.address, byteCount: count,
            hash: Self.hash(memory.bytes(at: found.address, count: count))))
      }
      block += 1
    }
    self.fingerprints = fingerprints
  }

  /// Addresses of blocks that hold something else by now.
  func changed() -> Set<UInt64> {
    guard let memory else { return [] }
    var changed: Set<UInt64> = []
    for old in fingerprints
    where Self.hash(memory.bytes(at: old.address, count: old.byteCount)) != old.hash {
      changed.insert(old.address)
    }
    return changed
  }

  /// FNV-1a.
  private static func hash(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
