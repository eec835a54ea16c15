import Glibc
import ProcessImage
import SystemSupport

/// One object file, shared by every process that maps it. Symbols and debug information are read when first asked for.
final class Module {
  /// One function at an address: the physical one, or one inlined into it.
  struct Function {
    var name: String?
    /// The linker's name where it differs.
    var linkageName: String?
    /// Virtual address of the first byte; nil for inlined functions.
    var start: UInt64?
    var file: String?
    var line: Int?
  }

  let elf: ElfFile
  /// Path by which the first process mapped it.
  let path: String
  private let version: FileVersion
  /// Whether the file was written over since it was mapped. What it says now is not about the code that ran.
  private(set) var isOverwritten = false
  private let isForeign: Bool
  private let options: SymbolizerOptions
  private let debugFiles: SeparateDebugFile
  private var loadedIndex: SymbolIndex?
  private var loadedDebugInformation: DebugInformation??
  private var separateFile: ElfFile??
  /// How often debug information did not fit into memory.
  private var incompleteCount = 0
  private static let maximumIncompleteCount = 8
  /// Functions by the virtual address they were looked up at, innermost first.
  private var cache: [UInt64: [Function]] = [:]
  private static let maximumCacheCount = 32768
  /// So many addresses keep their functions between reports, so that what stays in the report need not be read again.
  private static let maximumKeptCount = 8192
  private var trampolines: [UInt64: Bool] = [:]
  /// Places of the file read since its pages were given back.
  private var touchCount = 0
  private static let maximumTouchCount = 192
  /// Bytes of the file that stay copied between lookups.
  private static let maximumCopiedSize = 1 << 20

  /// - Parameters:
  ///   - version: the file as it was when it was mapped.
  ///   - processID: a process in whose mount namespace the path is to be understood; nil: our own.
  init(
    elf: ElfFile, path: String, version: FileVersion, options: SymbolizerOptions, processID: Int32?
  ) {
    self.elf = elf
    self.path = path
    self.version = version
    isForeign = processID != nil
    self.options = options
    debugFiles = SeparateDebugFile(directories: options.debugDirectories, processID: processID)
  }

  /// The functions that the instruction at a virtual address belongs to, innermost first and the physical one last.
  /// Empty when nothing is known about the address.
  func functions(at address: UInt64) -> [Function] {
    if let known = cache[address] { return known }
    if cache.count >= Self.maximumCacheCount { cache.removeAll(keepingCapacity: true) }
    let functions = resolve(address)
    cache[address] = functions
    countTouch()
    return functions
  }

  /// Whether the code at a virtual address leaves a signal handler (`__restore_rt`). No call leads
  /// there, so it is not to be looked up one byte earlier.
  func isSignalTrampoline(at address: UInt64) -> Bool {
    if let known = trampolines[address] { return known }
    if trampolines.count >= Self.maximumCacheCount { trampolines.removeAll(keepingCapacity: true) }
    let code = elf.contents(atVirtualAddress: address, size: UInt64(Processor.signalReturn.count))
    let isTrampoline = code?.elementsEqual(Processor.signalReturn) ?? false
    trampolines[address] = isTrampoline
    countTouch()
    return isTrampoline
  }

  /// The variable that covers a virtual address. Of several names, the one that the program exports.
  func variable(at address: UInt64) -> (name: String, offset: UInt64)? {
    var best: (name: UnsafePointer<CChar>, start: UInt64, isGlobal: Bool)?
    let files = elf.symbolTable(.full) == nil ? [elf, separateDebugFile].compactMap { $0 } : [elf]
    for file in files {
      for table in ElfFile.SymbolTable.allCases {
        file.forEachSymbol(in: table) { symbol in
          guard symbol.kind == .object, symbol.isDefined, symbol.value <= address,
            address - symbol.value < max(symbol.size, 1), symbol.name[0] != 0
          else { return }
          let isGlobal = symbol.binding != .local
          if let known = best, known.isGlobal || !isGlobal { return }
          best = (symbol.name, symbol.value, isGlobal)
        }
      }
    }
    defer { releasePages() }
    return best.map {
      (options.demangle ? Demangler.demangle($0.name) : SymbolText.string($0.name), address - $0.start)
    }
  }

  private func countTouch() {
    touchCount += 1
    if touchCount % Self.maximumTouchCount == 0 || elf.residentBytes > Self.maximumCopiedSize
      || ElfFile.copiesAreNearLimit
    {
      releasePages()
    }
  }

  /// Must be called when another version of the file is met.
  func noteOverwriting() {
    isOverwritten = true
    forgetContents()
  }

  private func checkIfOverwritten() {
    var status = stat()
    guard !isForeign, !isOverwritten, stat(path, &status) == 0 else { return }
    let now = FileVersion(status, by: .modification)
    if now.file == version.file, now != version { noteOverwriting() }
  }

  private func resolve(_ address: UInt64) -> [Function] {
    if loadedIndex == nil { checkIfOverwritten() }
    if isOverwritten { return [] }
    let match = index.lookup(address)
    let raw = match.map { SymbolText.string($0.name) }
    let name = match.map { match in
      let name = options.demangle ? Demangler.demangle(match.name) : raw!
      return match.isLinkageStub ? name + "@plt" : name
    }
    // Without the symbol's version.
    let linkageName = raw.map { raw in raw.prefix { $0 != "@" } }.flatMap { $0 == name! ? nil : String($0) }
    var functions: [Function] = []
    if options.linesAndInlines, match?.isLinkageStub != true, let debugInformation {
      functions = debugInformation.functions(at: address, demangle: options.demangle)
      if debugInformation.isIncomplete {
        functions = []
        incompleteCount += 1
        if incompleteCount >= Self.maximumIncompleteCount { loadedDebugInformation = .some(nil) }
      }
    }
    if functions.isEmpty {
      return match == nil ? [] : [Function(name: name, linkageName: linkageName, start: match?.start)]
    }
    // The symbol table knows clones (`.cold`, `.constprop.0`) that debug information calls by the original's name.
    if let match {
      functions[functions.count - 1].name = name
      functions[functions.count - 1].linkageName = linkageName
      functions[functions.count - 1].start = match.start
    }
    return functions
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
    let index = SymbolIndex(file: elf, separate: separate)
    loadedIndex = index
    return index
  }

  private var separateDebugFile: ElfFile? {
    if let separateFile { return separateFile }
    let found = debugFiles.find(for: elf, path: path)
    separateFile = .some(found)
    return found
  }

  private var debugInformation: DebugInformation? {
    if let debug = loadedDebugInformation ?? nil, debug.isLarge { loadedDebugInformation = nil }
    if let loadedDebugInformation { return loadedDebugInformation }
    let source = DebugInformation.isIn(elf) ? elf : separateDebugFile
    let loaded = source.flatMap { DebugInformation(file: $0, debugFiles: debugFiles) }
    loadedDebugInformation = .some(loaded)
    return loaded
  }

  private func releasePages() {
    elf.releasePages()
    (separateFile ?? nil)?.releasePages()
    (loadedDebugInformation ?? nil)?.file.releasePages()
  }

  /// Drops what can be read again and takes more memory than the names that were asked for.
  func trim() {
    forgetContents()
    if cache.count > Self.maximumKeptCount { cache = [:] }
    if trampolines.count > Self.maximumKeptCount { trampolines = [:] }
  }

  private func forgetContents() {
    loadedIndex = nil
    loadedDebugInformation = nil
    separateFile = nil
    incompleteCount = 0
    elf.releasePages()
  }
}
