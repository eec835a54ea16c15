import BPFRuntime
import CTraceABI

// MARK: - Shared memory

extension UnwindTables {
  func process(_ slot: UInt32) -> UnsafeMutablePointer<lt_unwind_process> {
    processMemory.bytes.baseAddress!.assumingMemoryBound(to: lt_unwind_process.self) + Int(slot)
  }

  private func mapping(_ index: Int) -> UnsafeMutablePointer<lt_unwind_mapping> {
    mappingMemory.bytes.baseAddress!.assumingMemoryBound(to: lt_unwind_mapping.self) + index
  }

  var nextAddressSpace: UnsafeMutablePointer<UInt64> {
    sessionMemory.bytes.baseAddress!.assumingMemoryBound(to: UInt64.self)
  }

  func setRequestState(_ state: lt_unwind_request_state, slot: UInt32) {
    ctrace_store_32(&process(slot).pointee.requested, state.rawValue)
  }

  /// Writes the entries of a publication, to which nothing refers yet.
  func write(_ publication: UnwindPublication) {
    for (index, entry) in publication.entries.enumerated() {
      var record = lt_unwind_mapping()
      record.start = entry.start
      record.length = UInt32(min(entry.end - entry.start, UInt64(UInt32.max)))
      record.table_start = entry.tableStart
      record.identity = publication.areas[index].identity
      switch entry.source {
      case .table(let identifier):
        guard let table = store[identifier] else { continue }
        record.chunk = UInt32(table.chunk)
        record.first_word = table.firstWord
        record.block_count = UInt32(table.blockCount)
      case .none: record.chunk = LT_UNWIND_CHUNK_NONE
      case .refused: record.chunk = LT_UNWIND_CHUNK_REFUSED
      }
      mapping(publication.first + index).pointee = record
    }
  }

  /// Makes a publication the one that walks use. The stores are in the order that `struct lt_unwind_process` demands.
  func publish(_ publication: inout UnwindPublication, slot: UInt32) {
    let record = process(slot)
    if record.pointee.generation != publication.generation {
      ctrace_store(&record.pointee.view, 0)
      ctrace_store_32(&record.pointee.generation, publication.generation)
    }
    publication.addressSpace = takeAddressSpace()
    ctrace_store(
      &record.pointee.view, view(of: publication, addressSpace: publication.addressSpace))
  }

  private func view(of publication: UnwindPublication, addressSpace: UInt64) -> UInt64 {
    addressSpace << 48 | UInt64(publication.entries.count) << 32 | UInt64(publication.first)
  }

  /// Whether a mapping is still as it was published: no system call has taken it out since.
  func isPublished(_ index: Int, of publication: UnwindPublication, slot: UInt32) -> Bool {
    process(slot).pointee.generation == publication.generation
      && mapping(publication.first + index).pointee.chunk != LT_UNWIND_CHUNK_GONE
  }

  /// Whether walks use this publication, and no system call has taken anything out of it.
  func isIntact(_ publication: UnwindPublication, slot: UInt32) -> Bool {
    let record = process(slot).pointee
    let view = view(of: publication, addressSpace: 0)
    return record.generation == publication.generation
      && record.view & 0xffff_ffff_ffff == view && record.view >> 48 != 0
      && publication.entries.indices.allSatisfy {
        mapping(publication.first + $0).pointee.chunk != LT_UNWIND_CHUNK_GONE
      }
  }
}

// MARK: - Address space identifiers

extension UnwindTables {
  /// An identifier that nothing in the cache has.
  private func takeAddressSpace() -> UInt64 {
    let identifier = ctrace_fetch_add(nextAddressSpace, 1)
    if identifier <= UInt64(LT_UNWIND_MAX_ADDRESS_SPACE) { return identifier }
    flushCache()
    return ctrace_fetch_add(nextAddressSpace, 1)
  }

  /// Uses up all identifiers, for tests.
  package func exhaustAddressSpaces() {
    ctrace_store(nextAddressSpace, UInt64(LT_UNWIND_MAX_ADDRESS_SPACE) + 1)
  }

  /// Empties the cache, so that all identifiers can be given out again.
  private func flushCache() {
    counts.cacheFlushes += 1
    // No walk may use or fill the cache meanwhile. Identifier 0 forbids both, and programs get no other, because the counter
    // is past its end.
    // This is done twice, because a program may have taken one of the last identifiers and stored it only after the first
    // time.
    for _ in 0..<2 {
      for slot in 0..<UInt32(LT_MAX_PROCESS_SLOTS) { setAddressSpace(0, slot: slot) }
      waitForRunningPrograms()
    }
    cacheMemory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    ctrace_store(nextAddressSpace, 1)
    for slot in publications.keys {
      let identifier = ctrace_fetch_add(nextAddressSpace, 1)
      publications[slot]?.addressSpace = identifier
      setAddressSpace(identifier, slot: slot)
    }
  }

  /// Replaces the identifier in a slot's view, unless there is no view.
  private func setAddressSpace(_ identifier: UInt64, slot: UInt32) {
    let record = process(slot)
    while case let old = ctrace_load(&record.pointee.view), old != 0 {
      let new = old & 0xffff_ffff_ffff | identifier << 48
      if ctrace_compare_exchange(&record.pointee.view, old, new) { return }
    }
  }
}

// MARK: - Reuse of memory

extension UnwindTables {
  /// Finds room for the mappings of a process; nil if there is none even after a collection.
  func allocateMappings(_ count: Int) -> Int? {
    if let first = mappingExtents.allocate(count) { return first }
    collect()
    return mappingExtents.allocate(count)
  }

  /// Frees retired publications once no program can see them, and tables that no process uses. This also happens without
  /// being asked for when memory is short.
  package func collect() {
    counts.collections += 1
    if !retired.isEmpty { waitForRunningPrograms() }
    // A forked child may have inherited a view that was retired for its parent.
    var isVisible: Set<Int> = []
    for slot in 0..<UInt32(LT_MAX_PROCESS_SLOTS) {
      let view = ctrace_load(&process(slot).pointee.view)
      if view != 0 { isVisible.insert(Int(view & 0xffff_ffff)) }
    }
    retired.removeAll { publication in
      if !publication.entries.isEmpty, isVisible.contains(publication.first) { return false }
      mappingExtents.release(publication.first, publication.entries.count)
      releaseTables(of: publication.entries)
      return true
    }
    let removed = store.removeUnused()
    files.forget(tables: Set(removed))
    if !removed.isEmpty { files.forgetRefused() }
  }
}
