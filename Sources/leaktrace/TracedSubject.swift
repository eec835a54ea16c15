import AllocationTracing
import LeakAnalysis
import ProcessControl
import TraceModel

/// A traced process as a leak check sees it.
final class TracedSubject: LeakCheckSubject {
  private let tracer: AllocationTracer
  private let process: TracedProcess
  private let knowledge: MappingOrigins

  init(_ process: TracedProcess, of tracer: AllocationTracer, origins: MappingOrigins) {
    self.process = process
    self.tracer = tracer
    knowledge = origins
  }

  var processID: Int32 { process.processID }
  var generation: UInt32 { tracer.currentGeneration(of: process) }

  func handleEvents() { tracer.handleEvents() }

  func collectBlocks(into add: (LeakBlock, UInt32) -> Void) throws {
    try tracer.forEachOutstandingBlock(of: process) { address, size, time, site in
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
          origin: knowledge.origin(ofSite: mapping.site, process), isPart: mapping.isPart)
      },
      reallocations: reallocations)
  }
}

/// Who maps memory at a site, by the names on its stack; each site is named once.
final class MappingOrigins {
  private struct Key: Hashable {
    var process: ObjectIdentifier
    var generation: UInt32
    var site: UInt32
  }

  private let tracer: AllocationTracer
  private var known: [Key: TracedMapping.Origin] = [:]

  init(_ tracer: AllocationTracer) { self.tracer = tracer }

  func origin(ofSite site: UInt32, _ process: TracedProcess) -> TracedMapping.Origin {
    let key = Key(process: ObjectIdentifier(process), generation: process.generation, site: site)
    if let origin = known[key] { return origin }
    let names = tracer.frames(ofSite: site, of: process).compactMap(\.function)
    let origin: TracedMapping.Origin =
      names.contains { $0.hasPrefix("pthread_create") || $0.hasPrefix("__pthread_create") } ? .threadStack : .program
    known[key] = origin
    return origin
  }

  /// Names every site that maps memory now, while nothing waits for it.
  func prepare(_ process: TracedProcess) {
    for mapping in tracer.outstandingMappings(of: process) { _ = origin(ofSite: mapping.site, process) }
  }
}
