import CTraceABI
import SystemSupport
import Testing
import TraceModel

@testable import AllocationTracing

@Suite struct TracedImageTests {
  private func image() -> TracedImage { TracedImage(generation: 3, number: 9, beginTime: 5) }

  @Test func anExecutedImageBeginsAnew() {
    let image = TracedImage.executed(generation: 4, number: 10, beginTime: 50, waitsForUs: true)
    #expect(image.generation == 4 && image.number == 10 && image.beginTime == 50)
    #expect(image.isTracedFromStart && image.hasOnlyTracedBlocks && !image.isForked)
    #expect(image.initialHeapBytes == 0 && image.programBreak == 0)
    #expect(image.ledger.ranges.isEmpty && image.retired == Tally() && image.threadNames.isEmpty)
    // Whose loader does not wait may have allocated before.
    #expect(!TracedImage.executed(generation: 4, number: 1, beginTime: 0, waitsForUs: false).hasOnlyTracedBlocks)
  }

  @Test func aForkedImageHasItsParentsBlocks() {
    var parent = image()
    parent.examinedObjects = [FileIdentity(device: 1, inode: 2)]
    parent.programBreak = 0x5000
    parent.hasOnlyTracedBlocks = true
    parent.retired = Tally(bytes: 1, count: 1)
    let child = TracedImage.forked(from: parent, generation: 1, number: 11, beginTime: 60)
    #expect(child.isForked && child.isTracedFromStart && !child.hasOnlyTracedBlocks)
    #expect(child.examinedObjects == parent.examinedObjects && child.programBreak == 0x5000)
    #expect(child.retired == Tally() && child.initialHeapBytes == nil)
  }

  @Test func changesOfTheAddressSpace() {
    var image = image()
    image.apply(.map(start: 0x10000, size: 0x2000), site: 3, owner: .program, time: 1)
    image.apply(.map(start: 0x20000, size: 0x2000), site: 3, owner: .allocator, time: 1)
    image.apply(.map(start: 0x30000, size: 0x2000), site: 3, owner: .loader, time: 1)
    #expect(image.ledger.ranges.map(\.start) == [0x10000])
    #expect(image.ledger.allocatorMemory == [0x20000..<0x22000])
    image.apply(
      .remap(oldStart: 0x10000, oldSize: 0x2000, newStart: 0x50000, newSize: 0x3000), site: 4, owner: .program, time: 2)
    #expect(image.ledger.ranges.map(\.start) == [0x50000] && image.ledger.ranges.map(\.site) == [4])
    image.apply(.unmap(start: 0x50000, size: 0x3000), site: nil, owner: .allocator, time: 3)
    #expect(image.ledger.ranges.isEmpty)
  }

  /// The first break that is seen says only where it is.
  @Test func theFirstBreakAllocatesNothing() {
    var image = image()
    image.apply(.programBreak(0x8000), site: 1, owner: .program, time: 1)
    #expect(image.ledger.ranges.isEmpty && image.programBreak == 0x8000)
    image.apply(.programBreak(0x9000), site: 1, owner: .program, time: 2)
    #expect(image.ledger.ranges.map(\.start) == [0x8000])
  }

  // MARK: Events

  @Test func eventsAreDecoded() {
    var event = lt_event()
    event.kind = LT_EVENT_FORK.rawValue
    event.address = 4711
    event.process_slot = 3
    #expect(TraceEvent(event) == .forked(TraceEvent.Fork(child: 4711, parentSlot: 3, time: event.time)))
    event.kind = LT_EVENT_EXEC.rawValue
    event.process_id = 12
    event.address = 7
    #expect(TraceEvent(event) == .executed(processID: 12, generation: 7))
    event.kind = LT_EVENT_MAP.rawValue
    event.site = .max
    event.size = 64
    event.time = 99
    #expect(
      TraceEvent(event)
        == .addressSpace(
          .init(processID: 12, slot: 3, site: nil, time: 99, change: .map(start: 7, size: 64))))
    event.kind = LT_EVENT_THREAD.rawValue
    event.thread_id = 13
    event.address = 0x6b72_6f77  // "work"
    event.size = 0
    #expect(TraceEvent(event) == .threadNamed(processID: 12, threadID: 13, name: "work"))
    event.kind = 4000
    #expect(TraceEvent(event) == nil)
  }
}
