import Allocators
import ProcessImage
import Testing
import TraceModel

@testable import Gate

@Suite struct GatePlanTests {
  static let base: UInt64 = 0x7f00_0000_0000

  /// A function at `base + offset` that begins as glibc's malloc.
  private func function(_ kind: AllocatorFunction.Kind, at offset: UInt64, probe: UInt32) throws -> GateFunction {
    let code: [UInt8] = [0x41, 0x54, 0x55, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x10]
    let address = Self.base + offset
    let entry = try code.withUnsafeBytes { try EntryCode(code: $0, address: address) }
    return GateFunction(
      probe: probe, function: AllocatorFunction("f\(probe)", kind), address: address, entry: entry, code: code)
  }

  private func functions() throws -> [GateFunction] {
    let kinds: [AllocatorFunction.Kind] = [
      .allocate(size: 0), .allocateCounted(count: 0, size: 1), .reallocate(pointer: 0, size: 1),
      .reallocateCounted(pointer: 0, count: 1, size: 2), .allocateToPointer(out: 0, size: 2), .free(pointer: 0),
    ]
    return try kinds.enumerated().map {
      try function($0.element, at: UInt64($0.offset) * 0x100, probe: UInt32($0.offset))
    }
  }

  static let selections = [
    GateSelection(sampling: .none, sizes: 0...UInt64.max), GateSelection(sampling: .none, sizes: 10...1000),
    GateSelection(sampling: .bytes(1 << 19), sizes: 0...UInt64.max), GateSelection(sampling: .calls(7), sizes: 0...9),
  ]

  /// Every instruction of the code can be decoded, probes stand on NOPs of one byte, and no jump leads out but to functions.
  @Test(arguments: selections) func codeIsWhole(selection: GateSelection) throws {
    let plan = try #require(
      GatePlan(functions: functions(), selection: selection, start: Self.base - 0x100_0000))
    let start = Int(GateLayout.headerBytes)
    let end = Int(GateLayout.codeBytes)
    let code = Array(plan.file[start..<end])
    #expect(Set(plan.places.map(\.probe)) == [0, 1, 2, 3, 4, 5])
    for place in plan.places { #expect(plan.file[Int(place.offset)] == 0x90) }
    guard let decoder = InstructionDecoder() else {
      Issue.record("no decoder")
      return
    }
    var starts: Set<Int> = []
    let address = plan.layout.code
    code.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count, bytes[offset...].contains(where: { $0 != 0xcc }) {
        guard let instruction = decoder.decode(bytes, at: offset, address: address) else {
          Issue.record("no instruction at \(offset)")
          return
        }
        starts.insert(offset)
        offset += instruction.length
      }
      for offset in starts {
        guard let target = decoder.decode(bytes, at: offset, address: address)?.branchTarget else { continue }
        let isInside = target >= address && target < address + UInt64(bytes.count)
        let isBack = plan.functions.contains { target == $0.address + UInt64($0.entry.length) }
        #expect(isInside ? starts.contains(Int(target - address)) : isBack, "at \(offset)")
      }
    }
    for place in plan.places { #expect(starts.contains(Int(place.offset) - start)) }
    for jump in plan.jumps {
      #expect(jump.count == 5 && jump[0] == 0xe9)
    }
  }

  /// The file tells of its frames as an object does that a compiler has made.
  @Test(arguments: selections) func stacksAreWalkedThroughIt(selection: GateSelection) throws {
    let plan = try #require(
      GatePlan(functions: functions(), selection: selection, start: Self.base - 0x100_0000))
    let image = plan.file.prefix(Int(GateLayout.codeBytes))
    let file = try image.withUnsafeBytes { try ElfFile(copying: $0, name: "gate") }
    let table = try CFITable(file: file)
    #expect(table.rows.count > 10)
  }

  @Test func gapsHaveTheirMean() {
    func mean(_ sampling: GateSelection.Sampling) -> Double {
      let gaps = GatePlan.gaps(GateSelection(sampling: sampling, sizes: 0...UInt64.max))
      #expect(gaps.count == 1024 && gaps == gaps.sorted())
      return gaps.reduce(0) { $0 + Double($1) } / 1024
    }
    #expect(abs(mean(.bytes(1 << 19)) / Double(1 << 19) - 1) < 0.001)
    // One in ten: nine are left out on average.
    #expect(abs(mean(.calls(10)) - 9) < 0.1)
    #expect(mean(.calls(1)) == 0)
  }

  @Test func placeIsNearAndFree() throws {
    func mapping(_ start: UInt64, _ end: UInt64, _ path: String = "") -> Mapping {
      Mapping(
        start: start, end: end, fileOffset: 0, permissions: [.read], device: 0, inode: 0, path: path, isDeleted: false)
    }
    let object = Self.base..<Self.base + 0x20_0000
    // Too small a gap, then a large one.
    let mappings = [
      mapping(Self.base - 0x1000_0000, Self.base - 0x800_0000), mapping(Self.base - 0x2_0000, Self.base - 0x1_0000),
      mapping(object.lowerBound, object.upperBound),
    ]
    let size: UInt64 = 0x10_0000
    let start = try #require(GatePlacement.find(bytes: size, below: object, mappings: mappings))
    #expect(start & 0xfff == 0)
    #expect(start >= Self.base - 0x800_0000 && start + size <= Self.base - 0x2_0000)
    // The heap would grow into the gap above it.
    let heap = [mapping(Self.base - 0x1000_0000, Self.base - 0x800_0000, "[heap]"), mappings[2]]
    let belowHeap = try #require(GatePlacement.find(bytes: size, below: object, mappings: heap))
    #expect(belowHeap + size <= heap[0].start)
    // A program at a fixed address, with nothing below it.
    let fixed: Range<UInt64> = 0x40_0000..<0x50_0000
    let below = try #require(GatePlacement.find(bytes: size, below: fixed, mappings: [mapping(0x40_0000, 0x50_0000)]))
    #expect(below >= 0x1_0000 && below + size <= 0x40_0000)
    // Nothing within reach.
    let far = [mapping(Self.base - 0x1_0000_0000, Self.base), mappings[2]]
    #expect(GatePlacement.find(bytes: size, below: object, mappings: far) == nil)
  }
}
