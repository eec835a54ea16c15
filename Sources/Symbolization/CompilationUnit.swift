import CElfUtils

/// Functions, inlined calls and source lines of one compilation unit.
final class CompilationUnit {
  private var entry: Dwarf_Die
  private let hasLines: Bool
  /// Physical functions by address, ascending.
  private var functionRanges: [FunctionRange] = []
  /// Calls inlined into a function, by the offset of the function's entry.
  private var inlinedCalls: [UInt64: [InlinedCall]] = [:]
  private var inlinedCallCount = 0
  /// Whether functions defined inside functions have been looked for, which takes a walk over everything.
  private var includesNestedFunctions = false

  /// About how many bytes libdw and this object keep in memory for the unit.
  var sizeInBytes: Int { lineCount * 40 + functionRanges.count * 24 + inlinedCallCount * 32 }
  private var lineCount = 0

  private struct FunctionRange {
    var low: UInt64
    var high: UInt64
    /// Offset in `.debug_info`.
    var entry: UInt64
  }

  private struct InlinedCall {
    var low: UInt64
    var high: UInt64
    /// 1 for a call inlined into the function itself, 2 for one inlined into that…
    var depth: Int
    var entry: UInt64
  }

  /// What a walk may still look at.
  private struct Budget {
    var entries: Int
    var ranges: Int
    var isSpent: Bool { entries <= 0 || ranges <= 0 }
  }

  /// Whether a walk ended because there was too much to look at, so that functions or inlined calls are missing.
  private(set) var isCut = false

  private static let maximumDepth = 64
  /// The most entries that are looked at in one unit, and the most inlined calls that are kept.
  private static let maximumEntryCount = 8 << 20
  private static let maximumInlinedCallCount = 1 << 18
  /// The most address ranges that are read for the functions of one unit, and for the calls inlined into one function: each
  /// entry of a list may refer to the same ranges as the others.
  private static let maximumRangeCount = 1 << 20

  /// - Parameter hasLines: whether to read the unit's lines.
  init(_ entry: Dwarf_Die, hasLines: Bool) {
    self.entry = entry
    self.hasLines = hasLines
    collectFunctions()
  }

  /// See `DebugInformation.functions`.
  func functions(at address: UInt64, demangle: Bool) -> [Module.Function] {
    var place = line(at: address)
    guard let function = functionEntry(at: address) else {
      return place.file == nil ? [] : [Module.Function(file: place.file, line: place.line)]
    }
    var functions: [Module.Function] = []
    for call in calls(inlinedInto: function, at: address).reversed() {
      var callee = Dwarf_Die()
      guard dwarf_offdie(dwarf_cu_getdwarf(entry.cu), call.entry, &callee) != nil else { continue }
      let name = names(of: &callee, demangle: demangle)
      functions.append(
        Module.Function(
          name: name.plain, linkageName: name.linkage, file: place.file, line: place.line))
      place = callPlace(of: &callee)
    }
    var physical = Dwarf_Die()
    let isKnown = dwarf_offdie(dwarf_cu_getdwarf(entry.cu), function, &physical) != nil
    let name = isKnown ? names(of: &physical, demangle: demangle) : (plain: nil, linkage: nil)
    functions.append(
      Module.Function(
        name: name.plain, linkageName: name.linkage, start: isKnown ? start(of: &physical) : nil, file: place.file,
        line: place.line))
    return functions
  }

  /// The name for people, and the linker's where it differs.
  private func names(of entry: inout Dwarf_Die, demangle: Bool) -> (plain: String?, linkage: String?) {
    guard let name = DebugEntry.name(of: &entry) else { return (nil, nil) }
    let linkage = SymbolText.string(name)
    guard demangle else { return (linkage, nil) }
    let plain = Demangler.demangle(name)
    return (plain, plain == linkage ? nil : linkage)
  }

  private func start(of entry: inout Dwarf_Die) -> UInt64? {
    var address: Dwarf_Addr = 0
    return dwarf_entrypc(&entry, &address) == 0 ? address : nil
  }

  // MARK: Functions

  private func functionEntry(at address: UInt64) -> UInt64? {
    if let found = knownFunctionEntry(at: address) { return found }
    guard !includesNestedFunctions else { return nil }
    // Lambdas and members of local classes may stand inside the function that they were written in.
    includesNestedFunctions = true
    functionRanges = []
    collectFunctions()
    return knownFunctionEntry(at: address)
  }

  private func knownFunctionEntry(at address: UInt64) -> UInt64? {
    var low = 0
    var high = functionRanges.count
    while low < high {
      let middle = (low + high) / 2
      if functionRanges[middle].low <= address { low = middle + 1 } else { high = middle }
    }
    // Ranges of functions nest only in unusual code; the innermost one starts last.
    for index in stride(from: low - 1, through: max(0, low - 16), by: -1)
    where address < functionRanges[index].high {
      return functionRanges[index].entry
    }
    return nil
  }

  private func collectFunctions() {
    var left = Budget(entries: Self.maximumEntryCount, ranges: Self.maximumRangeCount)
    collectFunctions(below: &entry, depth: 0, left: &left)
    if left.isSpent { isCut = true }
    functionRanges.sort { ($0.low, $1.high) < ($1.low, $0.high) }
  }

  private func collectFunctions(below parent: inout Dwarf_Die, depth: Int, left: inout Budget) {
    guard depth < Self.maximumDepth else { return }
    DebugEntry.forEachChild(of: &parent) { child in
      left.entries -= 1
      guard !left.isSpent else { return false }
      switch UInt32(bitPattern: dwarf_tag(&child)) {
      case UInt32(DW_TAG_subprogram):
        let offset = dwarf_dieoffset(&child)
        DebugEntry.forEachRange(of: &child, left: &left.ranges) { low, high in
          functionRanges.append(FunctionRange(low: low, high: high, entry: offset))
        }
        if includesNestedFunctions {
          collectFunctions(below: &child, depth: depth + 1, left: &left)
        }
      case UInt32(DW_TAG_lexical_block), UInt32(DW_TAG_inlined_subroutine):
        collectFunctions(below: &child, depth: depth + 1, left: &left)
      case UInt32(DW_TAG_namespace), UInt32(DW_TAG_module), UInt32(DW_TAG_class_type),
        UInt32(DW_TAG_structure_type), UInt32(DW_TAG_union_type),
        UInt32(DW_TAG_enumeration_type):
        collectFunctions(below: &child, depth: depth + 1, left: &left)
      default: break
      }
      return true
    }
  }

  // MARK: Inlined calls

  /// The calls around an address, outermost first.
  private func calls(inlinedInto function: UInt64, at address: UInt64) -> [InlinedCall] {
    let all: [InlinedCall]
    if let known = inlinedCalls[function] {
      all = known
    } else {
      var entry = Dwarf_Die()
      var found: [InlinedCall] = []
      if dwarf_offdie(dwarf_cu_getdwarf(self.entry.cu), function, &entry) != nil {
        var left = Budget(entries: Self.maximumEntryCount, ranges: Self.maximumRangeCount)
        collectCalls(below: &entry, depth: 0, inlining: 0, left: &left, into: &found)
        if left.isSpent { isCut = true }
      }
      if inlinedCallCount + found.count > Self.maximumInlinedCallCount {
        inlinedCalls = [:]
        inlinedCallCount = 0
      }
      inlinedCallCount += found.count
      inlinedCalls[function] = found
      all = found
    }
    var chain: [InlinedCall] = []
    // Parents come before their children in the list.
    for call in all where call.low <= address && address < call.high {
      if call.depth == chain.count + 1 { chain.append(call) }
    }
    return chain
  }

  private func collectCalls(
    below parent: inout Dwarf_Die, depth: Int, inlining: Int, left: inout Budget,
    into calls: inout [InlinedCall]
  ) {
    guard depth < Self.maximumDepth * 4 else { return }
    DebugEntry.forEachChild(of: &parent) { child in
      left.entries -= 1
      guard !left.isSpent else { return false }
      switch UInt32(bitPattern: dwarf_tag(&child)) {
      case UInt32(DW_TAG_inlined_subroutine):
        let offset = dwarf_dieoffset(&child)
        DebugEntry.forEachRange(of: &child, left: &left.ranges) { low, high in
          if calls.count < Self.maximumInlinedCallCount {
            calls.append(InlinedCall(low: low, high: high, depth: inlining + 1, entry: offset))
          }
        }
        collectCalls(
          below: &child, depth: depth + 1, inlining: inlining + 1, left: &left,
          into: &calls)
      case UInt32(DW_TAG_lexical_block), UInt32(DW_TAG_try_block), UInt32(DW_TAG_catch_block):
        collectCalls(
          below: &child, depth: depth + 1, inlining: inlining, left: &left, into: &calls)
      default: break
      }
      return true
    }
  }

  // MARK: Source lines

  private struct Place {
    var file: String?
    var line: Int?
  }

  private func line(at address: UInt64) -> Place {
    var table: OpaquePointer?
    guard hasLines else { return Place() }
    // Fails for lack of memory, too.
    let isReadable = dwarf_getsrclines(&entry, &table, &lineCount) == 0
    if !isReadable { isCut = true }
    guard isReadable, let found = dwarf_getsrc_die(&entry, address)
    else { return Place() }
    var number: Int32 = 0
    dwarf_lineno(found, &number)
    let name = dwarf_linesrc(found, nil, nil)
    return Place(file: name.map(path), line: number > 0 ? Int(number) : nil)
  }

  /// A file name as an absolute path where that can be known. A relative directory of compilation is left out: it is what
  /// remains of reproducible builds, whose file names are relative to the source tree already.
  private func path(_ name: UnsafePointer<CChar>) -> String {
    let name = SymbolText.string(name)
    guard name.utf8.first != UInt8(ascii: "/"), let directory = compilationDirectory else {
      return SourcePath.readable(name)
    }
    return SourcePath.readable("\(directory)/\(name)")
  }

  private lazy var compilationDirectory: String? = {
    var attribute = Dwarf_Attribute()
    guard dwarf_attr(&entry, UInt32(DW_AT_comp_dir), &attribute) != nil,
      let text = dwarf_formstring(&attribute), text[0] == CChar(UInt8(ascii: "/"))
    else { return nil }
    return SymbolText.string(text)
  }()

  private func callPlace(of call: inout Dwarf_Die) -> Place {
    var place = Place()
    if let line = DebugEntry.number(UInt32(DW_AT_call_line), of: &call), line > 0,
      line <= UInt64(Int32.max)
    {
      place.line = Int(line)
    }
    var files: OpaquePointer?
    var count = 0
    if hasLines, let file = DebugEntry.number(UInt32(DW_AT_call_file), of: &call),
      dwarf_getsrcfiles(&entry, &files, &count) == 0, let files, file < UInt64(count),
      let name = dwarf_filesrc(files, Int(file), nil, nil)
    {
      place.file = path(name)
    }
    return place
  }
}

/// Makes file names of debug information readable.
enum SourcePath {
  /// The path without `.`, empty and `NAME/..` parts: `/build/../lib/./a.c` is `/lib/a.c`.
  static func readable(_ path: String) -> String {
    let utf8 = path.utf8
    guard utf8.contains(UInt8(ascii: ".")) || path.contains("//") else { return path }
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == "..", let last = parts.last, last != ".." {
        parts.removeLast()
      } else if part == "..", utf8.first == UInt8(ascii: "/") {
        continue
      } else {
        parts.append(part)
      }
    }
    return (utf8.first == UInt8(ascii: "/") ? "/" : "") + parts.joined(separator: "/")
  }
}
