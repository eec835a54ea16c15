import Allocators
import Glibc
import ProcessImage

/// A place in a library that is probed for something else than allocations.
struct LibraryHook: Equatable {
  enum Purpose {
    /// The function that a dynamic loader calls for debuggers whenever its list of objects changes.
    case loads
    /// The function of the unwinder that looks for an exception's handler.
    case exceptions
  }

  var purpose: Purpose
  var object: ProbedObject
  var fileOffset: UInt64

  static func == (a: Self, b: Self) -> Bool {
    a.purpose == b.purpose && a.object.identity == b.object.identity && a.fileOffset == b.fileOffset
  }
}

/// Places in a C library, a dynamic loader or an unwinder that are probed for what they tell besides allocations: ranges that
/// the program maps itself, changes of the list of loaded objects, exceptions.
struct SystemCallProbes {
  /// `mmap`, `munmap`, `mremap`, `brk`, and `pthread_create`.
  var mappings: [AllocatorProbe] = []
  var loaderHook: LibraryHook?
  var exceptionHooks: [LibraryHook] = []

  /// Searches one object.
  ///
  /// - Parameter readsFullSymbolTable: look into `.symtab` too, for statically linked programs.
  init(file: ElfFile, object: ProbedObject, readsFullSymbolTable: Bool) {
    let symbols = Self.find(Self.names, in: file, readsFullSymbolTable: readsFullSymbolTable)
    for (name, kind) in Self.mappingFunctions {
      guard let symbol = symbols[name], let code = Self.code(of: symbol, in: file),
        let fileOffset = file.fileOffset(ofVirtualAddress: symbol.value),
        !mappings.contains(where: { $0.fileOffset == fileOffset && $0.function.kind == kind })
      else { continue }
      // munmap is seen at its entry: when it has returned, another thread may have been given the range already.
      let site =
        kind == .unmap || kind == .createThread
        ? selectEntrySite(code: code, address: symbol.value)
        : selectSiteAfterSystemCall(code: code, address: symbol.value)
      guard let site else { continue }
      mappings.append(
        AllocatorProbe(
          function: AllocatorFunction(name, kind), aliases: [], object: object,
          address: symbol.value, fileOffset: fileOffset, site: site, returns: .none))
    }
    loaderHook = symbols["_dl_debug_state"].flatMap { file.fileOffset(ofVirtualAddress: $0.value) }.map {
      LibraryHook(purpose: .loads, object: object, fileOffset: $0)
    }
    for name in Self.raisingFunctions {
      guard let symbol = symbols[name], let code = Self.code(of: symbol, in: file),
        let start = file.fileOffset(ofVirtualAddress: symbol.value)
      else { continue }
      let site = selectProbeSite(
        code: code, address: symbol.value,
        requirement: ProbeSiteRequirement(arguments: [], needsReturn: false, ignoresNullPointer: false),
        codeIsWholeFunction: false, emulation: .runningKernel)
      exceptionHooks.append(LibraryHook(purpose: .exceptions, object: object, fileOffset: start + site.offset))
    }
  }

  private static let raisingFunctions = ["_Unwind_RaiseException", "_Unwind_Resume_or_Rethrow"]

  private static let mappingFunctions: [(String, AllocatorFunction.Kind)] = [
    ("mmap", .map), ("mmap64", .map), ("munmap", .unmap), ("mremap", .remap), ("brk", .programBreak),
    ("pthread_create", .createThread),
  ]
  private static let names: [HashedSymbolName] =
    (mappingFunctions.map(\.0) + raisingFunctions + ["_dl_debug_state"]).map(HashedSymbolName.init)

  private static func find(
    _ names: [HashedSymbolName], in file: ElfFile, readsFullSymbolTable: Bool
  ) -> [String: ElfSymbol] {
    var found: [String: ElfSymbol] = [:]
    if let table = ElfSymbolHashTable(file) {
      for name in names {
        if let symbol = table.definition(of: name), symbol.kind == .function {
          found[name.text] = symbol
        }
      }
    }
    guard readsFullSymbolTable || found.isEmpty && file.interpreter == nil else { return found }
    let wanted = Set(names.map(\.text))
    let longest = wanted.map(\.utf8.count).max() ?? 0
    for table in [ElfFile.SymbolTable.dynamic, .full] {
      file.forEachSymbol(in: table) { symbol in
        guard symbol.isDefined, symbol.kind == .function, symbol.name.pointee != 0,
          strnlen(symbol.name, longest + 1) <= longest
        else { return }
        let name = String(cString: symbol.name)
        if wanted.contains(name), found[name] == nil { found[name] = symbol }
      }
    }
    return found
  }

  private static func code(of symbol: ElfSymbol, in file: ElfFile) -> UnsafeRawBufferPointer? {
    file.contents(atVirtualAddress: symbol.value, size: min(max(symbol.size, 64), 1024))
  }
}
