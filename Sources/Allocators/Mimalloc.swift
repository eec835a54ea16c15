extension Allocator {
  package static let mimalloc = Allocator(
    "mimalloc", libraries: ["libmimalloc", "mimalloc"], functions: mimallocNames, extensions: mimallocExtensions,
    advice: "mi_collect(true) or a shorter MIMALLOC_PURGE_DELAY gives free pages back")

  /// What mimalloc adds to the C functions, without its prefix.
  private static let mimallocExtensions: [AllocatorFunction] =
    mimallocHeapFunctions + [
      AllocatorFunction("free_size", .free(pointer: 0)),
      AllocatorFunction("free_size_aligned", .free(pointer: 0)),
      AllocatorFunction("free_aligned", .free(pointer: 0)),
      AllocatorFunction("new", .allocate(size: 0), [.mayThrow, .mayNest]),
      AllocatorFunction("new_n", .allocateCounted(count: 0, size: 1), [.mayThrow, .mayNest]),
      AllocatorFunction("new_nothrow", .allocate(size: 0), .mayNest),
      AllocatorFunction("new_aligned", .allocate(size: 0), [.mayThrow, .mayNest, .isAligned]),
      AllocatorFunction("new_aligned_nothrow", .allocate(size: 0), [.mayNest, .isAligned]),
      AllocatorFunction("new_realloc", .reallocate(pointer: 0, size: 1), [.mayThrow, .mayNest]),
      AllocatorFunction(
        "new_reallocn", .reallocateCounted(pointer: 0, count: 1, size: 2), [.mayThrow, .mayNest]),
    ]

  /// Functions that mimalloc also has in a form for a given heap, which then is the first argument.
  private static let mimallocHeapFunctions: [AllocatorFunction] =
    [
      AllocatorFunction("malloc_small", .allocate(size: 0)),
      AllocatorFunction("zalloc", .allocate(size: 0)),
      AllocatorFunction("zalloc_small", .allocate(size: 0)),
      AllocatorFunction("mallocn", .allocateCounted(count: 0, size: 1)),
      AllocatorFunction(
        "reallocn", .reallocateCounted(pointer: 0, count: 1, size: 2), .mayNest),
      AllocatorFunction("reallocf", .reallocate(pointer: 0, size: 1), .mayNest),
      AllocatorFunction("rezalloc", .reallocate(pointer: 0, size: 1), .mayNest),
      AllocatorFunction(
        "recalloc", .reallocateCounted(pointer: 0, count: 1, size: 2), .mayNest),
    ]
    + ["_aligned", "_aligned_at"].flatMap { suffix in
      [
        AllocatorFunction("malloc" + suffix, .allocate(size: 0), [.isAligned, .mayNest]),
        AllocatorFunction("zalloc" + suffix, .allocate(size: 0), [.isAligned, .mayNest]),
        AllocatorFunction(
          "calloc" + suffix, .allocateCounted(count: 0, size: 1), [.isAligned, .mayNest]),
        AllocatorFunction("realloc" + suffix, .reallocate(pointer: 0, size: 1), .mayNest),
        AllocatorFunction("rezalloc" + suffix, .reallocate(pointer: 0, size: 1), .mayNest),
        AllocatorFunction(
          "recalloc" + suffix, .reallocateCounted(pointer: 0, count: 1, size: 2), .mayNest),
      ]
    }

  private static let mimallocNames: [AllocatorFunction] = {
    // mi_cfree needs no probe: all it does is to call mi_free, for blocks that mimalloc knows.
    var functions = (AllocatorCatalog.cLibrary.filter { $0.name != "cfree" } + mimallocExtensions).map {
      $0.renamed("mi_" + $0.name, dropping: .isRequired)
    }
    let ofHeap =
      mimallocHeapFunctions + [
        AllocatorFunction("malloc", .allocate(size: 0)),
        AllocatorFunction("calloc", .allocateCounted(count: 0, size: 1)),
        AllocatorFunction("realloc", .reallocate(pointer: 0, size: 1), .mayNest),
        AllocatorFunction("alloc_new", .allocate(size: 0), [.mayThrow, .mayNest]),
        AllocatorFunction(
          "alloc_new_n", .allocateCounted(count: 0, size: 1), [.mayThrow, .mayNest]),
      ]
    functions += ofHeap.map { behindLeadingArgument($0.renamed("mi_heap_" + $0.name)) }
    return functions
  }()

  /// The same function with one more argument in front.
  private static func behindLeadingArgument(_ function: AllocatorFunction) -> AllocatorFunction {
    let kind: AllocatorFunction.Kind =
      switch function.kind {
      case .allocate(let size): .allocate(size: size + 1)
      case .allocateCounted(let count, let size): .allocateCounted(count: count + 1, size: size + 1)
      case .reallocate(let pointer, let size): .reallocate(pointer: pointer + 1, size: size + 1)
      case .reallocateCounted(let pointer, let count, let size):
        .reallocateCounted(pointer: pointer + 1, count: count + 1, size: size + 1)
      case .allocateToPointer(let out, let size): .allocateToPointer(out: out + 1, size: size + 1)
      case .free(let pointer): .free(pointer: pointer + 1)
      case .map, .remap, .unmap, .programBreak, .createThread: function.kind
      }
    return AllocatorFunction(function.name, kind, function.traits)
  }
}
