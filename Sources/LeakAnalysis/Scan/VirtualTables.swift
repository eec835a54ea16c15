import ProcessImage
import TraceModel

/// The mapped files of a process, in which tables of virtual functions and the functions themselves lie.
struct ModuleMap: Sendable {
  /// Ascending.
  private let modules: [Module]
  /// The range that holds all modules.
  let filter: AddressFilter

  var isEmpty: Bool { modules.isEmpty }

  private struct Module {
    let start: UInt64
    let end: UInt64
    let isReadable: Bool
    let isExecutable: Bool
  }

  init(_ mappings: [Mapping]) {
    modules = mappings.filter(\.isFileBacked)
      .map {
        Module(
          start: $0.start, end: $0.end, isReadable: $0.permissions.contains(.read),
          isExecutable: $0.permissions.contains(.execute))
      }
      .sorted { $0.start < $1.start }
    // The gap between the program and its libraries, in which the heap lies.
    var widest: (from: UInt64, to: UInt64) = (0, 0)
    for (module, next) in zip(modules, modules.dropFirst()) where next.start - module.end > widest.to - widest.from {
      widest = (module.end, next.start)
    }
    filter = AddressFilter(from: modules.first?.start ?? 0, to: modules.last?.end ?? 0, without: widest)
  }

  private func module(at address: UInt64) -> Module? {
    modules.withUnsafeBufferPointer { modules in
      let next = firstPosition(in: modules) { $0.start > address }
      guard next > 0, address < modules[next - 1].end else { return nil }
      return modules[next - 1]
    }
  }

  /// The end of the mapped file that can be read at the address; nil when there is none.
  func endOfReadable(at address: UInt64) -> UInt64? {
    guard let module = module(at: address), module.isReadable else { return nil }
    return module.end
  }

  func isExecutable(_ address: UInt64) -> Bool { module(at: address)?.isExecutable ?? false }
}

/// Tells tables of virtual functions from other memory the way memcheck does. For one thread.
struct VirtualTables {
  private let modules: ModuleMap
  private let filter: AddressFilter
  private let memory: any ScannableMemory
  /// Addresses looked at, and whether there is a table. Emptied when it grows too large: a hostile program has as many
  /// different pointers as it likes.
  private var known: [UInt64: Bool] = [:]

  private static let knownLimit = 1 << 14
  private static let pageSize: UInt64 = 4096
  /// Of this many words behind the first, two must point to functions.
  private static let wordLimit = 20

  init(modules: ModuleMap, memory: any ScannableMemory) {
    self.modules = modules
    filter = modules.filter
    self.memory = memory
  }

  /// Whether the value of a word can be the address of a table at all: cheap.
  @inline(__always)
  func mayBeTable(_ address: UInt64) -> Bool {
    filter.mayContain(address) && address & 7 == 0 && address >= Self.pageSize
  }

  /// Whether the address, for which `mayBeTable` holds, is that of a table: in a mapped file, null pointers and pointers to
  /// code, two of the latter among the first 21 words.
  mutating func isTable(_ address: UInt64) -> Bool {
    guard let end = modules.endOfReadable(at: address) else { return false }
    if let answer = known[address] { return answer }
    let answer = look(address, end: end)
    if known.count >= Self.knownLimit { known.removeAll(keepingCapacity: true) }
    known[address] = answer
    return answer
  }

  private func look(_ address: UInt64, end: UInt64) -> Bool {
    let words = min(Self.wordLimit + 1, Int((end - address) / 8))
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.wordLimit + 1) { buffer in
      let bytes = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<(words * 8)])
      let readable = memory.read(at: address, into: bytes) / 8
      var functions = 0
      for word in buffer[..<readable] where word != 0 {
        guard modules.isExecutable(word) else { return false }
        functions += 1
        if functions == 2 { return true }
      }
      return false
    }
  }
}
