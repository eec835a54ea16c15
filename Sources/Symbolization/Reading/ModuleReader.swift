import CElfUtils
import Glibc
import ProcessImage

/// Reads an object file in this process. Symbols and debug information are read when first asked for.
final class ModuleReader: ModuleReading {
  /// The files that an object's names come from.
  struct Files {
    let object: ElfFile
    /// Finds the file with the object's debug information, and the one with what several of those share.
    let separate: () -> ElfFile?
    let supplement: (ElfFile) -> ElfFile?
  }

  private let files: Files
  private let options: SymbolizerOptions
  private let losses: NamingLosses
  private var loadedIndex: SymbolIndex?
  private var loadedDebugInformation: DebugInformation??
  private var separateFile: ElfFile??
  /// How often debug information did not fit into memory.
  private var incompleteCount = 0
  private static let maximumIncompleteCount = 8
  /// Bytes of the file that stay copied between lookups.
  private static let maximumCopiedSize = 1 << 20
  private var elf: ElfFile { files.object }

  init(_ files: Files, options: SymbolizerOptions, losses: NamingLosses) {
    self.files = files
    self.options = options
    self.losses = losses
  }

  func functions(at address: UInt64) -> [Module.Function]? {
    defer { if elf.residentBytes > Self.maximumCopiedSize || ElfFile.copiesAreNearLimit { releasePages() } }
    let match = index.lookup(address)
    let raw = match.map { SymbolText.string($0.name) }
    let name = match.map { match in
      let name = options.demangle ? Demangler.demangle(match.name) : raw!
      return match.isLinkageStub ? name + "@plt" : name
    }
    // Without the symbol's version.
    let linkageName = raw.map { raw in raw.prefix { $0 != "@" } }.flatMap { $0 == name! ? nil : String($0) }
    var functions: [Module.Function] = []
    if options.linesAndInlines, match?.isLinkageStub != true, let debugInformation {
      functions = debugInformation.functions(at: address, demangle: options.demangle)
      if debugInformation.wasCut { losses.note(.partial, of: elf.name) }
      if debugInformation.isIncomplete {
        functions = []
        losses.note(.tooLarge, of: elf.name)
        incompleteCount += 1
        if incompleteCount >= Self.maximumIncompleteCount { loadedDebugInformation = .some(nil) }
      }
    }
    if functions.isEmpty {
      return match == nil ? [] : [Module.Function(name: name, linkageName: linkageName, start: match?.start)]
    }
    // The symbol table knows clones (`.cold`, `.constprop.0`) that debug information calls by the original's name.
    if let match {
      functions[functions.count - 1].name = name
      functions[functions.count - 1].linkageName = linkageName
      functions[functions.count - 1].start = match.start
    }
    return functions
  }

  func variable(at address: UInt64) -> Module.Variable? {
    var best: (name: UnsafePointer<CChar>, start: UInt64, size: UInt64, isGlobal: Bool)?
    let files = elf.symbolTable(.full) == nil ? [elf, separateDebugFile].compactMap { $0 } : [elf]
    for file in files {
      for table in ElfFile.SymbolTable.allCases {
        file.forEachSymbol(in: table) { symbol in
          guard symbol.kind == .object, symbol.isDefined, symbol.value <= address,
            address - symbol.value < max(symbol.size, 1), symbol.name[0] != 0
          else { return }
          let isGlobal = symbol.binding != .local
          if let known = best, known.isGlobal || !isGlobal { return }
          best = (symbol.name, symbol.value, symbol.size, isGlobal)
        }
      }
    }
    defer { releasePages() }
    guard let best else { return nil }
    var variable = Module.Variable(
      name: options.demangle ? Demangler.demangle(best.name) : SymbolText.string(best.name), start: best.start,
      size: best.size)
    if options.linesAndInlines, let found = debugInformation?.declaration(ofVariableAt: best.start) {
      (variable.file, variable.line, variable.type) = found
    }
    return variable
  }

  private var index: SymbolIndex {
    if let loadedIndex { return loadedIndex }
    var separate: ElfFile?
    if elf.symbolTable(.full) == nil {
      separate = separateDebugFile
      if separate?.symbolTable(.full) == nil {
        separate = SeparateDebugFile.packedSymbols(of: elf)
      }
    }
    let tables = [elf.symbolTable(.full), elf.symbolTable(.dynamic), separate?.symbolTable(.full)]
    if tables.contains(where: { $0?.isCut == true }) { losses.note(.partial, of: elf.name) }
    let index = SymbolIndex(file: elf, separate: separate)
    loadedIndex = index
    return index
  }

  private var separateDebugFile: ElfFile? {
    if let separateFile { return separateFile }
    let found = files.separate()
    separateFile = .some(found)
    return found
  }

  private var debugInformation: DebugInformation? {
    if let debug = loadedDebugInformation ?? nil, debug.isLarge { loadedDebugInformation = nil }
    if let loadedDebugInformation { return loadedDebugInformation }
    var loaded: DebugInformation?
    if let source = DebugInformation.isIn(elf) ? elf : separateDebugFile {
      if DebugInformation.unpackedSize(of: source) > options.maximumUnpackedBytes {
        losses.note(.tooLarge, of: elf.name)
      } else {
        loaded = DebugInformation(file: source, supplement: files.supplement(source))
        if loaded == nil { losses.note(.partial, of: elf.name) }
      }
    }
    loadedDebugInformation = .some(loaded)
    return loaded
  }

  func releasePages() {
    elf.releasePages()
    (separateFile ?? nil)?.releasePages()
    (loadedDebugInformation ?? nil)?.file.releasePages()
  }

  func forget() {
    loadedIndex = nil
    loadedDebugInformation = nil
    separateFile = nil
    incompleteCount = 0
    elf.releasePages()
  }
}
