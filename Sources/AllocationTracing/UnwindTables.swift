import BPFRuntime
import CTraceABI
import ProcessImage
import TraceModel

/// Gives the stack walker in `BPF/unwind.bpf.h` what it needs: for each process slot the executable mappings, and for
/// each mapped file an unwind table.
///
/// What a running program may be reading is never changed: new mappings are written to free memory and published with
/// one store, together with a new address space identifier, which makes everything cached before void. Memory is used
/// again only after every program that could have seen it has ended. Programs must not be sleepable.
///
/// Not thread-safe: one owner, who reads the ring buffer `lt_unwind_requests` and calls ``refresh(slot:generation:processID:)``
/// for each request, and ``rearmRequests()`` about once a second.
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
    /// Publications that failed for lack of room for mappings.
    package var refusedProcesses = 0
  }

  let limits: Limits
  var store: UnwindTableStore
  var files = UnwindFileCatalog()
  var publications: [UInt32: UnwindPublication] = [:]
  /// Replaced publications whose memory programs may still read.
  var retired: [UnwindPublication] = []
  var mappingExtents: ExtentAllocator
  /// Slots whose last request named an address that is not mapped: they ask again after `rearmRequests`.
  var mutedSlots: [UInt32: ContinuousClock.Instant] = [:]
  package internal(set) var refusals: Set<Refusal> = []
  var counts = Statistics()

  let processMemory: MappedArray
  let mappingMemory: MappedArray
  let cacheMemory: MappedArray
  let sessionMemory: MappedArray

  /// Takes the walker's maps from a loaded object that includes `unwind.bpf.h`.
  package init(object: BPFObject, limits: Limits = Limits()) throws(BPFError) {
    self.limits = limits
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

  /// Reads the mappings of a process and publishes them, until they stay the same meanwhile. Nothing happens when the
  /// process is gone. Returns whether anything changed.
  ///
  /// - Parameter address: the address that the walker asked about; 0 if it did not.
  @discardableResult
  package func refresh(
    slot: UInt32, generation: UInt32, processID: Int32, address: UInt64 = 0
  ) throws(BPFError) -> Bool {
    // Before reading, so that a change after it asks again.
    setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    var isChanged = false
    var mappings = (try? ProcessMaps.read(processID: processID)) ?? []
    for _ in 0..<4 where !mappings.isEmpty {
      // The slow part comes first; then the mappings are checked again, just before and after they are published.
      releaseTables(
        of: try loadTables(
          slot: slot, generation: generation, processID: processID,
          mappings: mappings.filter(Self.isRelevant)))
      let current = (try? ProcessMaps.read(processID: processID)) ?? []
      if UnwindPublication.areEqual(current, mappings) {
        let changes = try update(
          slot: slot, generation: generation, processID: processID, mappings: current)
        isChanged = changes || isChanged
        let later = (try? ProcessMaps.read(processID: processID)) ?? []
        if UnwindPublication.areEqual(later, current) { break }
        mappings = later
      } else {
        mappings = current
      }
    }
    if address != 0, !mappings.contains(where: { $0.contains(address) && Self.isRelevant($0) }) {
      mutedSlots[slot] = .now
      setRequestState(LT_UNWIND_REQUEST_MUTED, slot: slot)
    }
    return isChanged
  }

  /// Publishes the mappings of a process. Returns whether anything changed.
  ///
  /// - Parameters:
  ///   - generation: what the programs will pass for this slot; the walker uses nothing of another generation.
  ///   - mappings: all mappings of the process, ascending.
  @discardableResult
  package func update(
    slot: UInt32, generation: UInt32, processID: Int32, mappings: [Mapping]
  ) throws(BPFError) -> Bool {
    precondition(slot < UInt32(LT_MAX_PROCESS_SLOTS))
    let executable = mappings.filter(Self.isRelevant).suffix(Int(LT_UNWIND_MAX_PROCESS_MAPPINGS))
    let entries = try loadTables(
      slot: slot, generation: generation, processID: processID, mappings: Array(executable))
    if let old = publications[slot], old.generation == generation, old.entries == entries,
      isIntact(old, slot: slot)
    {
      releaseTables(of: entries)
      return false
    }
    guard let first = allocateMappings(entries.count) else {
      counts.refusedProcesses += 1
      releaseTables(of: entries)
      release(slot: slot)
      return true
    }
    let publication = UnwindPublication(
      generation: generation, first: first, entries: entries, mappings: Array(executable))
    write(publication)
    publish(publication, slot: slot)
    if let old = publications.updateValue(publication, forKey: slot) { retired.append(old) }
    mutedSlots[slot] = nil
    return true
  }

  /// Takes back what was published for a slot: the process has ended.
  package func release(slot: UInt32) {
    ctrace_store(&process(slot).pointee.view, 0)
    setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    mutedSlots[slot] = nil
    if let old = publications.removeValue(forKey: slot) { retired.append(old) }
  }

  /// Lets processes ask again whose last request was for an address that is not mapped (a damaged stack, say) and is a
  /// second old.
  package func rearmRequests() {
    let now = ContinuousClock.now
    for (slot, time) in mutedSlots where now - time >= .seconds(1) {
      mutedSlots[slot] = nil
      setRequestState(LT_UNWIND_REQUEST_NONE, slot: slot)
    }
  }
}
