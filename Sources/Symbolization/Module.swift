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

  /// A variable with a fixed address.
  package struct Variable: Equatable {
    package var name: String
    /// Virtual address of its first byte.
    var start: UInt64
    /// In bytes; 0 when the symbol does not tell.
    package var size: UInt64
    package var file: String?
    package var line: Int?
    /// The name of its type.
    package var type: String?
  }

  let elf: ElfFile
  /// Path by which the first process mapped it.
  let path: String
  private let version: FileVersion
  /// Whether the file was written over since it was mapped. What it says now is not about the code that ran.
  private(set) var isOverwritten = false
  var codeKey: CodeKey { CodeKey(buildID: elf.buildID, sizeInBytes: elf.size, version: version) }
  private let isForeign: Bool
  private let reader: any ModuleReading
  private var hasBeenAsked = false
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
  ///   - isForeign: whether the path is to be understood in another mount namespace than ours.
  init(elf: ElfFile, path: String, version: FileVersion, isForeign: Bool, reader: any ModuleReading) {
    self.elf = elf
    self.path = path
    self.version = version
    self.isForeign = isForeign
    self.reader = reader
  }

  /// The functions that the instruction at a virtual address belongs to, innermost first and the physical one last.
  /// Empty when nothing is known about the address.
  func functions(at address: UInt64) -> [Function] {
    if let known = cache[address] { return known }
    if !hasBeenAsked { checkIfOverwritten() }
    hasBeenAsked = true
    guard !isOverwritten, let functions = reader.functions(at: address) else { return [] }
    if cache.count >= Self.maximumCacheCount { cache.removeAll(keepingCapacity: true) }
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
  func variable(at address: UInt64) -> Variable? { reader.variable(at: address) }

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

  private func releasePages() {
    elf.releasePages()
    reader.releasePages()
  }

  /// Drops what can be read again and takes more memory than the names that were asked for.
  func trim() {
    forgetContents()
    if cache.count > Self.maximumKeptCount { cache = [:] }
    if trampolines.count > Self.maximumKeptCount { trampolines = [:] }
  }

  private func forgetContents() {
    hasBeenAsked = false
    reader.forget()
    elf.releasePages()
  }
}
