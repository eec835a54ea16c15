import BPFRuntime
import CTraceABI
import Glibc
import ProcessImage
import TraceModel

// MARK: - From mappings to tables

extension UnwindTables {
  /// How many refusals are named at most, because processes can map any number of strange files.
  private static let maximumRefusals = 1000

  /// Whether the walker should know a mapping. It must not know the page that the kernel puts into a process for uprobes:
  /// return addresses in that page are put back by other means.
  static func isRelevant(_ mapping: Mapping) -> Bool {
    mapping.permissions.contains(.execute) && mapping.path != "[uprobes]"
      && mapping.end <= 1 << UInt64(LT_UNWIND_ADDRESS_BITS)
  }

  /// Finds or loads the tables of executable areas. Each gets one more reference, which ``releaseTables(of:)`` gives back.
  func loadTables(
    slot: UInt32, generation: UInt32, processID: Int32, areas: [AddressSpaceSnapshot.Area]
  ) throws(BPFError) -> [UnwindPublication.Entry] {
    var entries: [UnwindPublication.Entry] = []
    entries.reserveCapacity(areas.count)
    let old = publications[slot].flatMap { $0.generation == generation ? $0 : nil }
    var oldIndex = 0
    for area in areas {
      // Both lists are in ascending order.
      while let old, oldIndex < old.areas.count,
        old.areas[oldIndex].mapping.start < area.mapping.start
      {
        oldIndex += 1
      }
      let entry: UnwindPublication.Entry
      if let old, oldIndex < old.areas.count, old.areas[oldIndex].hasSameCode(as: area),
        old.entries[oldIndex].source != .refused, isPublished(oldIndex, of: old, slot: slot)
      {
        entry = old.entries[oldIndex]
      } else {
        entry = try load(area.mapping, processID: processID)
      }
      // Retained at once, so that a collection on behalf of the next table does not free this one.
      if case .table(let identifier) = entry.source { store.retain(identifier) }
      entries.append(entry)
    }
    return entries
  }

  func releaseTables(of entries: [UnwindPublication.Entry]) {
    for entry in entries {
      if case .table(let identifier) = entry.source { store.release(identifier) }
    }
  }

  private func load(
    _ mapping: Mapping, processID: Int32
  ) throws(BPFError) -> UnwindPublication.Entry {
    var entry = UnwindPublication.Entry(
      start: mapping.start, end: mapping.end, source: .none, tableStart: mapping.start)
    let file: UnwindFileCatalog.File?
    if mapping.path == "[vdso]" {
      file = try loadVirtualObject()
    } else if mapping.isFileBacked {
      file = try loadFile(mapping, processID: processID)
    } else {
      file = nil
    }
    guard let file else { return entry }
    if file.source == .refused {
      entry.source = .refused
    } else if let tableStart = file.loadedAddress(of: file.textStart, in: mapping) {
      entry.source = file.source
      entry.tableStart = tableStart
    }
    return entry
  }

  private func loadFile(
    _ mapping: Mapping, processID: Int32
  ) throws(BPFError) -> UnwindFileCatalog.File? {
    do {
      let descriptor = try RootedFile.open(mapping: mapping, processID: processID)
      guard let key = UnwindFileCatalog.version(of: descriptor.descriptor) else { return nil }
      if let known = files[key] { return known }
      let file = try ElfFile(descriptor: descriptor.descriptor, name: mapping.path)
      let loaded = try load(file)
      file.releasePages()
      files[key] = loaded
      return loaded
    } catch let error as BPFError {
      throw error
    } catch {
      refuse(mapping.path, .unreadable("\(error)"))
      return nil
    }
  }

  /// The vDSO is the same in all processes, so the one of this process is read.
  private func loadVirtualObject() throws(BPFError) -> UnwindFileCatalog.File? {
    if let known = files[UnwindFileCatalog.virtualObject] { return known }
    guard let file = VirtualObject.copy() else { return nil }
    let loaded = try load(file)
    files[UnwindFileCatalog.virtualObject] = loaded
    return loaded
  }

  private func load(_ file: ElfFile) throws(BPFError) -> UnwindFileCatalog.File {
    var loaded = UnwindFileCatalog.File(
      source: .none, textStart: 0, segments: file.loadSegments.filter(\.isExecutable))
    let conversion = Result { () throws(CFIError) in
      try CFITable(file: file, limits: .init(words: limits.tableBytesPerFile / 4))
    }
    switch conversion {
    case .success(let table):
      loaded.textStart = table.textStart
      if table.statistics.unsupportedRows > 0, unsupportedRows.count < Self.maximumRefusals {
        unsupportedRows[file.name] = table.statistics.unsupportedRows
      }
      if let identifier = try add(table) {
        loaded.source = .table(identifier)
      } else {
        loaded.source = .refused
        refuse(file.name, .tooLarge)
      }
    case .failure(.empty): break
    case .failure(.tooLarge):
      loaded.source = .refused
      refuse(file.name, .tooLarge)
    }
    return loaded
  }

  private func refuse(_ path: String, _ reason: Refusal.Reason) {
    guard refusals.count < Self.maximumRefusals else { return }
    refusals.insert(Refusal(path: path, reason: reason))
  }

  /// Stores a table, giving up unused ones if there is no room otherwise.
  private func add(_ table: CFITable) throws(BPFError) -> UnwindTableStore.Identifier? {
    if let identifier = try store.add(table) { return identifier }
    collect()
    return try store.add(table)
  }
}
