import BPFRuntime
import CTraceABI
import ProcessImage
import TraceModel

/// Gives the stack walker in `BPF/unwind/unwind.bpf.h` what it needs: for each process slot the executable mappings, and for
/// each mapped file an unwind table.
///
/// Nothing that a running program may be reading is ever changed. New mappings are written to free memory and published with
/// one store, together with a new address space identifier, which makes everything void that was cached before. Memory is
/// used again only after every program that could have seen it has ended. Programs must not be sleepable.
///
/// Not thread-safe: it has one owner, who reads the ring buffer `lt_unwind_requests`, calls
/// ``refresh(slot:generation:processID:address:)`` for each request, and calls ``rearmRequests()`` some ten times a second.
package final class UnwindTables {
  package struct Limits: Sendable {
    /// Kernel memory for tables of all files together, in bytes.
    package var tableBytes: Int
    /// The largest table of one file, in bytes.
    package var tableBytesPerFile: Int

    package init(tableBytes: Int = 24 << 20, tableBytesPerFile: Int = 24 << 20) {
      self.tableBytes = tableBytes
      self.tableBytesPerFile = tableBytesPerFile
    }
  }

  /// A file whose functions cannot be unwound.
  package struct Refusal: Hashable, Sendable {
    package enum Reason: Hashable, Sendable {
      /// Its table exceeds the limit of one file, or there is no room left.
      case tooLarge
      /// It could not be opened or is not an ELF file of this machine.
      case unreadable(String)
    }
    package var path: String
    package var reason: Reason
  }

  package struct Statistics: Sendable {
    package var tables = 0
    /// Kernel memory allocated for tables, in bytes, and the part that tables fill.
    package var tableBytes = 0
    package var usedTableBytes = 0
    package var rules = 0
    package var refusedRules = 0
    /// How often the cache was emptied because all address space identifiers had been used.
    package var cacheFlushes = 0
    /// How often memory was short and unused tables were given up.
    package var collections = 0
    /// How often mappings could not be published because there was no room for them.
    package var refusedProcesses = 0
  }

  let limits: Limits
  private let addressSpaces = AddressSpaceReader()
  private let epochs: MappingEpochs
  var store: UnwindTableStore
  var files = UnwindFileCatalog()
  var publications: [UInt32: UnwindPublication] = [:]
  /// Replaced publications whose memory programs may still be reading.
  var retired: [UnwindPublication] = []
  var mappingExtents: ExtentAllocator
  /// Slots whose last request named an address that is not mapped, with the time of the request. They may ask again after
  /// `rearmRequests`.
  var mutedSlots: [UInt32: ContinuousClock.Instant] = [:]
  /// Where in each process the kernel has put its page of return trampolines, by slot.
  var uprobePages: [UInt32: Range<UInt64>] = [:]
  package internal(set) var refusals: Set<Refusal> = []
  /// How many rows of each file the walker cannot express, by path.
  package internal(set) var unsupportedRows: [String: Int] = [:]
  var counts = Statistics()

  let processMemory: MappedArray
  let mappingMemory: MappedArray
  let cacheMemory: MappedArray
  let sessionMemory: MappedArray

  /// Takes the walker's maps from a loaded object that includes `unwind.bpf.h`.
  package init(object: BPFObject, limits: Limits = Limits()) throws(BPFError) {
    self.limits = limits
    epochs = try MappingEpochs(object: object)
    store = try UnwindTableStore(
      chunks: object.map("lt_unwind_chunks"), rules: object.map("lt_unwind_rules"),
      maximumBytes: limits.tableBytes)
    let mappings = try object.map("lt_unwind_mappings")
    mappingExtents = ExtentAllocator(count: mappings.maxEntries)
    mappingMemory = try mappings.memoryMapped()
    processMemory = try object.map("lt_unwind_processes").memoryMapped()
    cacheMemory = try object.map("lt_unwind_cache").memoryMapped()
    sessionMemory = try object.map("lt_unwind_sessions").memoryMapped()
    ctrace_store(nextAddressSpace, 1)
  }

  package var statistics: Statistics {
    var result = counts
    result.tables = store.tableCount
    result.tableBytes = store.kernelBytes
    result.usedTableBytes = store.usedBytes
    result.rules = store.ruleCount
    result.refusedRules = store.refusedRuleCount
    return result
  }

  // MARK: - Processes

  /// What a reading of a process's mappings found.
  package struct Refresh {
    /// All mappings of the process; none when it is gone.
    package var mappings: [Mapping] = []
    package var snapshot = AddressSpaceSnapshot()
    /// The thread through which the process could be read.
    package var threadID: Int32
  }

  /// Reads the mappings of a process and publishes them. Nothing happens when the process is gone.
  ///
  /// - Parameters:
  ///   - generation: what the programs will pass for this slot. The walker uses nothing that was published for another
  ///     generation.
  ///   - address: the address that the walker asked about; 0 if it did not.
  @discardableResult
  package func refresh(
    slot: UInt32, generation: UInt32, processID: Int32, address: UInt64 = 0
  ) throws(BPFError) -> Refresh {
    precondition(slot < UInt32(LT_MAX_PROCESS_SLOTS))
    // Before the reading, so that a change that comes after it causes another request.
    setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    var result = Refresh(threadID: processID)
    // Of mappings that change all the time, those that stayed the same are published.
    for _ in 0..<4 {
      var entries: [UnwindPublication.Entry] = []
      var areas: [AddressSpaceSnapshot.Area] = []
      var failure: BPFError?
      let reading = try? addressSpaces.read(processID: processID) { snapshot, thread in
        areas = Array(
          snapshot.areas.filter { Self.isRelevant($0.mapping) }
            .suffix(Int(LT_UNWIND_MAX_PROCESS_MAPPINGS)))
        do throws(BPFError) {
          entries = try loadTables(
            slot: slot, generation: generation, processID: thread, areas: areas)
        } catch { failure = error }
      }
      if let failure { throw failure }
      // A process without mappings is about to end. What is published for it does no harm.
      guard let reading, !reading.mappings.isEmpty else {
        releaseTables(of: entries)
        break
      }
      result.threadID = reading.threadID
      result.mappings = reading.mappings
      result.snapshot = reading.snapshot
      uprobePages[slot] = reading.mappings.first { $0.path == "[uprobes]" }.map { $0.start..<$0.end }
      let kept = Set(reading.snapshot.areas.map(\.mapping.start))
      let remaining = areas.indices.filter { kept.contains(areas[$0].mapping.start) }
      releaseTables(of: areas.indices.filter { !remaining.contains($0) }.map { entries[$0] })
      publish(
        entries: remaining.map { entries[$0] }, areas: remaining.map { areas[$0] }, slot: slot,
        generation: generation)
      if reading.snapshot.isWhole { break }
    }
    let isKnown = result.snapshot.areas.contains {
      $0.mapping.contains(address) && Self.isRelevant($0.mapping)
    }
    if address != 0, !isKnown {
      mutedSlots[slot] = .now
      setRequestState(LT_UNWIND_REQUEST_MUTED, slot: slot)
    }
    return result
  }

  /// Publishes the mappings of a process if they have changed. Takes over the entries' references to tables.
  private func publish(
    entries: [UnwindPublication.Entry], areas: [AddressSpaceSnapshot.Area], slot: UInt32,
    generation: UInt32
  ) {
    let old = publications[slot].flatMap { $0.generation == generation ? $0 : nil }
    if let old, old.entries == entries, old.areas == areas, isIntact(old, slot: slot) {
      releaseTables(of: entries)
      return
    }
    guard let first = allocateMappings(entries.count) else {
      counts.refusedProcesses += 1
      releaseTables(of: entries)
      release(slot: slot)
      return
    }
    var publication = UnwindPublication(
      generation: generation, first: first, entries: entries, areas: areas)
    write(publication)
    // What is recorded from here on may find other code at the same addresses.
    if let old, !AddressSpaceSnapshot(areas: areas).keepsCode(of: AddressSpaceSnapshot(areas: old.areas)) {
      epochs.raise(slot)
    }
    publish(&publication, slot: slot)
    if let replaced = publications.updateValue(publication, forKey: slot) { retired.append(replaced) }
    mutedSlots[slot] = nil
  }

  /// Takes back what was published for a slot: its process has ended, or there was no room for its mappings.
  package func release(slot: UInt32) {
    ctrace_store(&process(slot).pointee.view, 0)
    setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    mutedSlots[slot] = nil
    if let old = publications.removeValue(forKey: slot) { retired.append(old) }
  }

  /// Lets processes ask again whose last request named an address that is not mapped (as in a damaged stack) and is some
  /// time old. That time is short enough for new code to be known within 100 ms, and long enough that such a process is not
  /// read all the time.
  package func rearmRequests() {
    let now = ContinuousClock.now
    for (slot, time) in mutedSlots where now - time >= .milliseconds(50) {
      mutedSlots[slot] = nil
      setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    }
  }
}
