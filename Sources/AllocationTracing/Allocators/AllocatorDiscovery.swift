import Allocators
import Glibc
import ProcessImage
import SystemSupport
import TraceModel

/// Finds the allocator functions of a process and decides where each is probed.
///
/// A pure function of the process's mappings and the files behind them: it attaches nothing.
package struct AllocatorDiscovery {
  package struct Options: Sendable {
    /// Look for the C functions behind this prefix instead of the catalogue (`-S`).
    package var symbolPrefix: String?
    /// Look into this object only, by path or file name (`-O`).
    package var objectPath: String?
    /// `--alloc` and `--free`.
    package var customFunctions: [CustomAllocatorSpec] = []
    /// Whether the catalogue is used beside the custom functions.
    package var usesCatalog = true
    package var emulation = UprobeEmulation.baseline
    package init() {}
  }

  let processID: Int32
  let mappings: [Mapping]
  let executable: FileIdentity?
  let options: Options
  let open: (Mapping) -> ElfFile?

  /// - Parameters:
  ///   - mappings: of the process, in the order of `/proc/PID/maps`.
  ///   - executable: what `/proc/PID/exe` is; by default the first executable mapping's file.
  ///   - open: opens the file behind a mapping; nil when it cannot be read or is no ELF file.
  package init(
    processID: Int32, mappings: [Mapping], executable: FileIdentity? = nil,
    options: Options = Options(), open: @escaping (Mapping) -> ElfFile?
  ) {
    self.processID = processID
    self.mappings = mappings
    self.executable = executable
    self.options = options
    self.open = open
  }

  package func plan() -> AllocatorPlan {
    var plan = AllocatorPlan()
    var objects = allocatorObjects(&plan)
    let program = objects.first { $0.isProgram }
    let wanted = searchedFunctions
    for index in objects.indices {
      objects[index].findFunctions(wanted + prefixedFunctions(of: &objects[index], &plan.notes), &plan.notes)
    }
    if objects.allSatisfy(\.functions.isEmpty), options.usesCatalog, options.symbolPrefix == nil {
      for index in objects.indices where objects[index].isStaticAndStripped && objects[index].ownCode == nil {
        objects[index].findBySignature(&plan.notes)
      }
    }
    let defining = objects.filter { !$0.functions.isEmpty }
    let wrappers = WrapperFilter(objects: defining)
    for object in defining {
      let functions = wrappers.functionsToProbe(in: object)
      if functions.isEmpty { continue }
      plan.objects.append(object.description)
      for function in functions {
        if function.isCustom, !function.function.isFree, let ownCode = object.ownCode {
          plan.notes.append("\(function.function.name) \(ownCode.whyNotProbed)")
          continue
        }
        plan.probes.append(probe(function, in: object, wrappers))
      }
    }
    explain(&plan, program: program)
    return plan
  }

  /// The functions to look for. Custom ones come first, so that a function that both lists describe gets the custom
  /// description.
  private var searchedFunctions: [SearchedFunction] {
    var wanted = options.customFunctions.map {
      SearchedFunction(
        function: $0.function, name: HashedSymbolName($0.function.name), isCustom: true)
    }
    if let prefix = options.symbolPrefix {
      wanted += AllocatorCatalog.functions(withPrefix: prefix).map {
        SearchedFunction(function: $0, name: HashedSymbolName($0.name), isCustom: false)
      }
    } else if options.usesCatalog {
      wanted += SearchedFunction.catalog
    }
    return wanted
  }

  /// One entry for each file with executable mappings, except the dynamic linker.
  private func allocatorObjects(_ plan: inout AllocatorPlan) -> [AllocatorObject] {
    var objects: [AllocatorObject] = []
    var seen: Set<FileIdentity> = []
    var program = executable
    for mapping in mappings where mapping.isFileBacked && mapping.permissions.contains(.execute) {
      let identity = mapping.file
      guard seen.insert(identity).inserted else { continue }
      let fileName = mapping.path.split(separator: "/").last.map(String.init) ?? mapping.path
      // The linker's own malloc serves only until libc is loaded, and nobody else calls it.
      if fileName.hasPrefix("ld-linux") || fileName.hasPrefix("ld-2.") || fileName == "ld.so" {
        continue
      }
      if program == nil { program = identity }
      if let path = options.objectPath, mapping.path != path, fileName != path { continue }
      guard let file = open(mapping) else {
        plan.notes.append(
          "\(mapping.path) could not be read; allocator functions in it are not traced")
        continue
      }
      objects.append(
        AllocatorObject(
          file: file, fileName: fileName, isProgram: identity == program,
          readsFullSymbolTable: identity == program || options.objectPath != nil
            || options.symbolPrefix != nil || !options.customFunctions.isEmpty,
          description: describe(mapping, file)))
    }
    if let path = options.objectPath, objects.isEmpty {
      plan.failure =
        "process \(processID) has not mapped \(path) (-O); /proc/\(processID)/maps lists what it has"
    }
    return objects
  }

  func describe(_ mapping: Mapping, _ file: ElfFile) -> ProbedObject {
    ProbedObject(path: mapping.path, identity: mapping.file, buildID: file.buildID)
  }

  private func probe(
    _ found: FoundFunction, in object: AllocatorObject, _ wrappers: WrapperFilter
  ) -> AllocatorProbe {
    var function = found.function
    let code = object.code(of: found)
    if !function.traits.contains(.mayNest), wrappers.mayCallAnother(found, in: object) {
      function.traits.insert(.mayNest)
    }
    let requirement = ProbeSiteRequirement(
      arguments: Set(function.arguments), needsReturn: !function.isFree,
      ignoresNullPointer: function.kind == .free(pointer: 0))
    let site = selectProbeSite(
      code: code.bytes, address: found.address, requirement: requirement,
      codeIsWholeFunction: code.isWhole, emulation: options.emulation)
    return AllocatorProbe(
      function: function, aliases: found.aliases, object: object.description,
      address: found.address, fileOffset: found.fileOffset, size: found.size, site: site,
      returns: returnObservation(function, code, found))
  }

  private func returnObservation(
    _ function: AllocatorFunction, _ code: (bytes: UnsafeRawBufferPointer, isWhole: Bool),
    _ found: FoundFunction
  ) -> AllocatorProbe.ReturnObservation {
    if function.isFree { return .none }
    guard function.traits.contains(.mayThrow) else { return .returnProbe }
    guard code.isWhole else { return .returnProbeDespiteExceptions }
    let exits = findFunctionExits(code: code.bytes, address: found.address)
    guard exits.returnsAreAllKnown, exits.returnOffsets.count <= 8 else {
      return .returnProbeDespiteExceptions
    }
    return .returnInstructions(exits.returnOffsets.map { found.fileOffset + $0 })
  }

  private func explain(_ plan: inout AllocatorPlan, program: AllocatorObject?) {
    for custom in options.customFunctions {
      let name = custom.function.name
      if !plan.hasProbe(of: name) {
        plan.notes.append("no object of process \(processID) defines \(name)")
      }
    }
    if plan.probes.isEmpty {
      plan.failure = plan.failure ?? reasonForNothing(program)
      return
    }
    if !plan.probes.contains(where: { $0.function.isFree }) {
      plan.notes.append(
        "no function that frees memory was found: every block will count as outstanding")
    }
    if !plan.probes.contains(where: { !$0.function.isFree }) {
      plan.notes.append("no function that allocates memory was found: only frees are seen")
    }
    if let ownCode = program?.ownCode { plan.notes.append(ownCode.whatIsTraced) }
  }

  /// A function named by an option that is in no object, while one of almost its name is, has been mistyped: nobody wants a
  /// trace without it. Where there is none of such a name a library that comes later may have it.
  ///
  /// - Returns: the option, and the names that are near; nil if nothing is mistyped. Looks at every symbol of every object.
  package func misspelling() -> String? {
    guard !options.customFunctions.isEmpty else { return nil }
    var plan = plan()
    let missing = options.customFunctions.filter { !plan.hasProbe(of: $0.function.name) }
    guard !missing.isEmpty else { return nil }
    let names = functionNames(in: allocatorObjects(&plan))
    for custom in missing {
      let name = custom.function.name
      let near = Spelling.near(name, among: names)
      if names.contains(name) || near.isEmpty { continue }
      let option = custom.function.isFree ? "--free" : "--alloc"
      return "\(option) \(name): process \(processID) has no such function; it has \(near.joined(separator: ", "))"
    }
    return nil
  }

  /// The names of the functions that objects define, a million at most. Longer ones than a person types are left out: a name
  /// may have megabytes, and many symbols may have it.
  private func functionNames(in objects: [AllocatorObject]) -> Set<String> {
    var names: Set<String> = []
    for object in objects {
      for table in ElfFile.SymbolTable.allCases {
        object.file.forEachSymbol(in: table) { symbol in
          guard symbol.isDefined, symbol.kind == .function, names.count < 1_000_000,
            strnlen(symbol.name, Self.longestName + 1) <= Self.longestName
          else { return }
          names.insert(String(cString: symbol.name))
        }
      }
    }
    return names
  }

  private static let longestName = 1024

  private func reasonForNothing(_ program: AllocatorObject?) -> String {
    let subject = "no allocator functions in process \(processID)"
    if let prefix = options.symbolPrefix {
      return "\(subject) with the prefix '\(prefix)' (-S); check with: nm -D FILE"
    }
    if !options.customFunctions.isEmpty, !options.usesCatalog {
      return "\(subject): none of the functions named by --alloc and --free exists"
    }
    guard let program else {
      return "\(subject): its executable could not be read; run as root in its PID namespace"
    }
    if let ownCode = program.ownCode { return "\(subject): \(ownCode.whyNothing)" }
    if program.file.interpreter == nil, program.file.symbolTable(.full) == nil {
      return
        "\(subject): it is statically linked and stripped, and its code is that of no allocator known; name its functions "
        + "with --alloc and --free, or run a build with symbols"
    }
    return
      "\(subject): name them with --alloc SYMBOL:size=ARG and --free SYMBOL:ptr=ARG, or give the object with -O"
  }
}
