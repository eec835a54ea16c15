import TestTools
import TraceModel

@testable import LeakAnalysis

/// Blocks, roots and memory made from a seed: all sizes, blocks inside of blocks, odd addresses, pointers of every kind, values
/// that heuristics look for, memory that cannot be read, roots that overlap.
struct RandomHeap {
  private(set) var blocks: [LeakBlock] = []
  private(set) var roots: [Root] = []
  private(set) var values: [RootValue] = []
  let mappings: [Mapping]
  let memory: FakeMemory

  private static let moduleStart: UInt64 = 0x5600_0000_0000
  private static let tables = stride(from: moduleStart + 0x1000, to: moduleStart + 0x1400, by: 64).map { UInt64($0) }

  init(seed: UInt64, blocks count: Int? = nil) {
    var random = SplitMix64(state: seed)
    let count = count ?? Int.random(in: 1...40, using: &random)
    // Clusters lie across the borders of the index's regions, and far from each other.
    let clusters: [UInt64] = [0x5555_000f_f000, 0x7f00_0010_0000 - 0x800, 0x7fff_ffff_0000]
    let used = clusters.prefix(Int.random(in: 1...3, using: &random))
    let clusterSize = UInt64(count) * 160 + 0x200
    let rootArea: Range<UInt64> = 0x6000_0000_0000..<0x6000_0000_0400
    let hole = Int.random(in: 0..<4, using: &random) == 0 ? used[0] + 0x1000..<used[0] + 0x2000 : nil
    var areas = used.map { $0..<$0 + clusterSize }
    if let hole {
      areas.removeFirst()
      areas.append(used[0]..<min(hole.lowerBound, used[0] + clusterSize))
      if hole.upperBound < used[0] + clusterSize { areas.append(hole.upperBound..<used[0] + clusterSize) }
    }
    memory = FakeMemory(areas + [rootArea, Self.moduleStart + 0x1000..<Self.moduleStart + 0x2000])
    mappings = Self.makeMappings()
    writeTables(&random)
    for start in used { placeBlocks(count / used.count + 1, in: start..<start + clusterSize, &random) }
    for start in used { fill(start..<start + clusterSize, density: 4, &random) }
    fill(rootArea, density: Int.random(in: 1...12, using: &random), &random)
    makeRoots(rootArea, used.map { $0..<$0 + clusterSize }, &random)
  }

  private static func makeMappings() -> [Mapping] {
    func mapping(_ start: UInt64, _ end: UInt64, _ permissions: Mapping.Permissions, inode: UInt64) -> Mapping {
      Mapping(
        start: start, end: end, fileOffset: 0, permissions: permissions, device: 1, inode: inode,
        path: inode == 0 ? "" : "/lib/fake.so", isDeleted: false)
    }
    return [
      mapping(moduleStart, moduleStart + 0x1000, [.read, .execute], inode: 7),
      mapping(moduleStart + 0x1000, moduleStart + 0x2000, [.read], inode: 7),
      mapping(moduleStart + 0x3000, moduleStart + 0x4000, [.read, .execute], inode: 0),
    ]
  }

  /// Some are tables of virtual functions, some nearly.
  private func writeTables(_ random: inout SplitMix64) {
    for table in Self.tables {
      for word in 0..<UInt64.random(in: 1...4, using: &random) {
        let choices = [0, Self.moduleStart + 0x10, Self.moduleStart + 0x20, Self.moduleStart + 0x20, 0x1234]
        memory.write(choices.randomElement(using: &random)!, at: table + word * 8)
      }
    }
  }

  private mutating func placeBlocks(_ count: Int, in range: Range<UInt64>, _ random: inout SplitMix64) {
    let sizes: [UInt64] = [0, 0, 1, 7, 8, 12, 16, 16, 24, 25, 32, 33, 40, 48, 64, 100, 128]
    var address = range.lowerBound + UInt64.random(in: 0..<4, using: &random) * 8
    for _ in 0..<count {
      let size = sizes.randomElement(using: &random)!
      if Int.random(in: 0..<12, using: &random) == 0 { address += UInt64.random(in: 1..<8, using: &random) }
      guard address + size + 64 < range.upperBound else { return }
      blocks.append(LeakBlock(address: address, sizeInBytes: size))
      if size >= 40, Int.random(in: 0..<3, using: &random) == 0 {
        // One or two inside, the first perhaps at the same address.
        let first = address + 8 * UInt64.random(in: 0...1, using: &random)
        blocks.append(LeakBlock(address: first, sizeInBytes: UInt64.random(in: 1...17, using: &random)))
        if Bool.random(using: &random) {
          blocks.append(LeakBlock(address: first + 18, sizeInBytes: UInt64.random(in: 0...6, using: &random)))
        }
      }
      address += max(1, size) + [0, 0, 7, 8, 16, 40].randomElement(using: &random)!
      if Bool.random(using: &random) { address = (address + 7) & ~7 }
    }
  }

  /// One word in `density` is something.
  private func fill(_ range: Range<UInt64>, density: Int, _ random: inout SplitMix64) {
    for address in stride(from: range.lowerBound, to: range.upperBound, by: 8)
    where Int.random(in: 0..<density, using: &random) == 0 {
      let shift = Int.random(in: 0..<10, using: &random) == 0 ? UInt64.random(in: 1..<8, using: &random) : 0
      memory.write(word(&random), at: address + shift)
    }
    // What heuristics look for at the start of blocks, and pointers to where it counts.
    for block in blocks where range.contains(block.address) && Int.random(in: 0..<3, using: &random) == 0 {
      let place = range.lowerBound + 8 * UInt64.random(in: 0..<UInt64(range.count / 8), using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        memory.write(block.address + 8, at: place)
        memory.write(block.sizeInBytes &- 8, at: block.address)
      case 1:
        memory.write(block.address + 8, at: place)
        memory.write(UInt64.random(in: 1...4, using: &random), at: block.address)
      case 2:
        memory.write(block.address + 24, at: place)
        memory.write(UInt64.random(in: 0...8, using: &random), at: block.address)
        memory.write(block.sizeInBytes &- 25, at: block.address + 8)
      default:
        memory.write(block.address + 16, at: place)
        memory.write(Self.tables.randomElement(using: &random)!, at: block.address)
        memory.write(Self.tables.randomElement(using: &random)!, at: block.address + 16)
      }
    }
  }

  private func word(_ random: inout SplitMix64) -> UInt64 {
    let block = blocks.randomElement(using: &random)!
    switch Int.random(in: 0..<16, using: &random) {
    case 0..<7: return block.address
    case 7: return block.address + 8
    case 8: return block.address + 16
    case 9: return block.address + 24
    case 10: return block.address + UInt64.random(in: 0...block.sizeInBytes, using: &random)
    case 11: return block.address + block.sizeInBytes
    case 12: return block.address &- 1
    case 13: return Self.tables.randomElement(using: &random)!
    case 14: return UInt64.random(in: 0..<128, using: &random)
    default: return UInt64.random(in: 0...UInt64.max, using: &random)
    }
  }

  private mutating func makeRoots(_ area: Range<UInt64>, _ clusters: [Range<UInt64>], _ random: inout SplitMix64) {
    let kinds: [RootKind] = [
      .globals, .stack, .threadLocal, .anonymous, .interpreterHeap("one"), .interpreterHeap("two"), .kernel,
    ]
    for number in 0..<Int.random(in: 0...5, using: &random) {
      let start = area.lowerBound + UInt64.random(in: 0..<0x380, using: &random)
      let end = start + UInt64.random(in: 0..<0x60, using: &random)
      roots.append(Root(range: start..<end, kind: kinds.randomElement(using: &random)!, name: "\(number)"))
    }
    if Int.random(in: 0..<6, using: &random) == 0 {
      roots.append(Root(range: clusters.randomElement(using: &random)!, kind: .unknownHeap, name: "heap"))
    }
    if Int.random(in: 0..<6, using: &random) == 0 {
      roots.append(Root(range: clusters[0], kind: .interpreterHeap("two"), name: "arena"))
    }
    for _ in 0..<Int.random(in: 0...2, using: &random) {
      let kind: RootKind = Int.random(in: 0..<3, using: &random) == 0 ? .interpreterHeap("three") : .registers
      values.append(RootValue(value: word(&random), kind: kind, name: "rax"))
    }
  }
}
