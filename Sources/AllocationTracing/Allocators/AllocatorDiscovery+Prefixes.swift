import Allocators
import CElfUtils
import Glibc
import ProcessImage

/// jemalloc is built with a prefix of the program's choice. Each build has `PREFIXmallctl`, which nothing else has; by that
/// the others are found, in a library's full symbol table, too, because there they are often not exported.
extension AllocatorDiscovery {
  /// The functions of jemalloc under a prefix that an object has and the catalogue does not, or which the object does not
  /// export; says in a note which.
  func prefixedFunctions(of object: inout AllocatorObject, _ notes: inout [String]) -> [SearchedFunction] {
    guard options.usesCatalog, options.symbolPrefix == nil else { return [] }
    let prefixes = jemallocPrefixes(in: object.file).filter { !$0.isEmpty }
    guard !prefixes.isEmpty else { return [] }
    object.readsFullSymbolTable = true
    let known = Set(AllocatorCatalog.functions.map(\.name))
    return prefixes.sorted().flatMap { prefix -> [SearchedFunction] in
      if known.contains(prefix + "malloc") { return [] }
      notes.append("\(object.description.path) has a jemalloc with the prefix '\(prefix)', which is traced, too")
      return AllocatorCatalog.functions(withPrefix: prefix).map {
        SearchedFunction(function: $0, name: HashedSymbolName($0.name), isCustom: false)
      }
    }
  }

  private func jemallocPrefixes(in file: ElfFile) -> Set<String> {
    var prefixes: Set<String> = []
    for table in ElfFile.SymbolTable.allCases where mayHaveMark(file.symbolTable(table)) {
      file.forEachSymbol(in: table) { symbol in
        guard symbol.isDefined, symbol.kind == .function else { return }
        let length = strnlen(symbol.name, Self.longestPrefixed + 1)
        guard length >= Self.mark.utf8.count, length <= Self.longestPrefixed, prefixes.count < Self.mostPrefixes,
          strcmp(symbol.name + (length - Self.mark.utf8.count), Self.mark) == 0
        else { return }
        prefixes.insert(
          String(
            decoding: UnsafeRawBufferPointer(start: symbol.name, count: length - Self.mark.utf8.count), as: UTF8.self))
      }
    }
    return prefixes
  }

  /// Whether a name in a table can end with the mark: most have none, and finding that out takes a fraction of going through
  /// their symbols.
  private func mayHaveMark(_ table: ElfFile.SymbolTableView?) -> Bool {
    guard let strings = table?.strings, let start = strings.baseAddress else { return false }
    return celf_find(start, strings.count, Self.mark, Self.mark.utf8.count) >= 0
  }

  private static let mark = "mallctl"
  private static let longestPrefixed = 64
  private static let mostPrefixes = 8
}
