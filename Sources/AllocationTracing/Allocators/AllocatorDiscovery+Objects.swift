import Allocators
import Glibc
import ProcessImage
import Quantities
import Runtimes

/// A function that is looked for in every object.
struct SearchedFunction: Sendable {
  var function: AllocatorFunction
  var name: HashedSymbolName
  /// Whether the user named it. If so, it is never left out as a wrapper.
  var isCustom: Bool

  static let catalog = AllocatorCatalog.functions.map {
    SearchedFunction(function: $0, name: HashedSymbolName($0.name), isCustom: false)
  }
}

/// An allocator function found in an object.
struct FoundFunction {
  var function: AllocatorFunction
  var aliases: [String] = []
  var address: UInt64
  var fileOffset: UInt64
  /// 0 when the symbol does not tell.
  var size: UInt64
  var isCustom: Bool
}

/// An object file of the process and the allocator functions it defines.
struct AllocatorObject {
  let file: ElfFile
  let fileName: String
  let isProgram: Bool
  var readsFullSymbolTable: Bool
  let description: ProbedObject
  /// In the order of the search; one for each address.
  private(set) var functions: [FoundFunction] = []

  init(
    file: ElfFile, fileName: String, isProgram: Bool, readsFullSymbolTable: Bool,
    description: ProbedObject
  ) {
    self.file = file
    self.fileName = fileName
    self.isProgram = isProgram
    self.readsFullSymbolTable = readsFullSymbolTable
    self.description = description
  }

  /// What is special about the code of a language runtime that is linked into the object; nil when its functions behave like
  /// those of C.
  var ownCode: Runtime.OwnCode? { Runtime.linked(into: file)?.ownCode }

  /// Whether this is a C++ runtime library, whose operators call the C functions.
  var isCxxRuntime: Bool {
    ["libstdc++.so", "libc++.so", "libc++abi.so"].contains { fileName.hasPrefix($0) }
  }

  /// Size of the largest function whose code is read as a whole, in bytes.
  static let maximumFunctionSize: UInt64 = 1 << 16

  /// A function's code: all of it if its size is known and sane, else its first 256 bytes, or 64 or 16 near the end of a
  /// segment.
  func code(of function: FoundFunction) -> (bytes: UnsafeRawBufferPointer, isWhole: Bool) {
    if function.size > 0, function.size <= Self.maximumFunctionSize,
      let bytes = file.contents(atVirtualAddress: function.address, size: function.size)
    {
      return (bytes, true)
    }
    for size: UInt64 in [256, 64, 16] {
      if let bytes = file.contents(atVirtualAddress: function.address, size: size) {
        return (bytes, false)
      }
    }
    return (UnsafeRawBufferPointer(start: nil, count: 0), false)
  }

  mutating func add(_ function: FoundFunction) {
    if !functions.contains(where: { $0.address == function.address }) { functions.append(function) }
  }

  /// Whether it is a static program without symbols.
  var isStaticAndStripped: Bool {
    isProgram && file.interpreter == nil && file.symbolTable(.full) == nil
  }

  mutating func findFunctions(_ wanted: [SearchedFunction], _ notes: inout [String]) {
    var symbols = [ElfSymbol?](repeating: nil, count: wanted.count)
    if let table = ElfSymbolHashTable(file) {
      for (index, searched) in wanted.enumerated() {
        symbols[index] = table.definition(of: searched.name)
      }
    } else {
      readAll(.dynamic, wanted, &symbols, &notes)
    }
    if readsFullSymbolTable { readAll(.full, wanted, &symbols, &notes) }

    var places: [UInt64: Int] = [:]
    for (searched, symbol) in zip(wanted, symbols) {
      guard let symbol else { continue }
      if symbol.kind == .indirectFunction {
        notes.append(
          "\(searched.name.text) in \(description.path) is chosen at load time (IFUNC) and not probed"
        )
        continue
      }
      guard symbol.kind == .function || symbol.kind == .none, isExecutable(symbol.value),
        let offset = file.fileOffset(ofVirtualAddress: symbol.value)
      else { continue }
      if let place = places[symbol.value] {
        functions[place].aliases.append(searched.name.text)
        continue
      }
      places[symbol.value] = functions.count
      functions.append(
        FoundFunction(
          function: searched.function, address: symbol.value, fileOffset: offset,
          size: symbol.size, isCustom: searched.isCustom))
    }
  }

  private func isExecutable(_ address: UInt64) -> Bool {
    file.loadSegments.contains {
      $0.isExecutable && address >= $0.virtualAddress && address &- $0.virtualAddress < $0.fileSize
    }
  }

  /// Finds the symbols that are still missing by reading a whole table.
  private func readAll(
    _ table: ElfFile.SymbolTable, _ wanted: [SearchedFunction], _ symbols: inout [ElfSymbol?], _ notes: inout [String]
  ) {
    guard let view = file.symbolTable(table), view.count > 0 else { return }
    if view.isCut {
      notes.append(
        "\(description.path) has more symbols than are read (\(groupedNumber(view.count))); allocator functions among the others are "
          + "not traced")
    }
    // The first two bytes rule out most names, before a string is made of them.
    var firstBytes = [Bool](repeating: false, count: 65536)
    var indices: [String: Int] = [:]
    var longest = 0
    for (index, searched) in wanted.enumerated() where symbols[index] == nil {
      let name = Array(searched.name.text.utf8)
      guard name.count >= 2 else { continue }
      longest = max(longest, name.count)
      firstBytes[Int(name[0]) << 8 | Int(name[1])] = true
      if indices[searched.name.text] == nil { indices[searched.name.text] = index }
    }
    file.forEachSymbol(in: table) { symbol in
      guard symbol.isDefined,
        symbol.kind == .function || symbol.kind == .indirectFunction || symbol.kind == .none
      else { return }
      let first = Int(UInt8(bitPattern: symbol.name[0]))
      guard first != 0, firstBytes[first << 8 | Int(UInt8(bitPattern: symbol.name[1]))] else {
        return
      }
      // A name may have megabytes, and many symbols may have it.
      guard strnlen(symbol.name, longest + 1) <= longest else { return }
      guard let index = indices[String(cString: symbol.name)], symbols[index] == nil else { return }
      symbols[index] = symbol
    }
  }
}
