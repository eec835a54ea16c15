import AllocationTracing
import LeakAnalysis
import ProcessControl
import TraceModel

/// A traced process in the form that a leak check needs.
final class TracedSubject: LeakCheckSubject {
  private let tracer: AllocationTracer
  private let process: TracedProcess

  init(_ process: TracedProcess, of tracer: AllocationTracer) {
    self.process = process
    self.tracer = tracer
  }

  var processID: Int32 { process.processID }
  var generation: UInt32 { tracer.currentGeneration(of: process) }

  var blockCount: Int { tracer.outstandingBlockCount }

  func handleEvents() { tracer.handleEvents() }

  func collectBlocks(part: Int, of parts: Int, into add: (LeakBlock, UInt32) -> Void) throws {
    try tracer.forEachOutstandingBlock(of: process, part: part, of: parts) { address, size, time, site in
      add(LeakBlock(address: address, sizeInBytes: size, time: time), site)
    }
  }

  func heapKnowledge(threads: [StoppedThread]) -> HeapKnowledge {
    var gaps = tracer.heapGaps(of: process)
    var reallocations: [PendingReallocation] = []
    do {
      reallocations = try tracer.begunReallocations(ofThreads: threads.map(\.threadID)).map {
        PendingReallocation(
          threadID: $0.threadID, oldAddress: $0.oldAddress, oldSizeInBytes: $0.oldSizeInBytes,
          newSizeInBytes: $0.newSizeInBytes, returnSlot: $0.returnSlot)
      }
    } catch {
      if gaps.isEmpty { gaps.append("what threads are reallocating cannot be read: unknown heap counts as roots") }
    }
    return HeapKnowledge(
      isComplete: gaps.isEmpty, gaps: gaps, allocatorMemory: tracer.allocatorMemory(of: process),
      mappings: tracer.outstandingMappings(of: process).map { mapping in
        TracedMapping(
          range: mapping.range, time: mapping.time, tag: mapping.site,
          origin: tracer.makesThreadStacks(site: mapping.site, of: process) ? .threadStack : .program,
          isPart: mapping.isPart)
      },
      reallocations: reallocations,
      exitCode: threads.contains { $0.registers?.endsByItself == true } ? tracer.exitCode(of: process) : [])
  }
}
