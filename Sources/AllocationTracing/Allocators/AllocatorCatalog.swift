import ProcessImage

/// Every allocator function that is known by name. A new allocator is one more family here.
package enum AllocatorCatalog {
  /// All known functions; earlier ones name a function that has several symbols.
  package static let functions: [AllocatorFunction] =
    cLibrary + cLibraryInternal + cxxOperators + jemalloc + tcmalloc + mimalloc

  /// The C functions behind a prefix, as `-S PREFIX` asks for.
  package static func functions(withPrefix prefix: String) -> [AllocatorFunction] {
    (cLibrary + jemallocExtras + mimallocExtras).map { renamed($0, prefix + $0.name) }
  }

  /// C and POSIX, with the obsolete functions that glibc keeps and what C23 adds.
  static let cLibrary: [AllocatorFunction] = [
    AllocatorFunction("malloc", .allocate(size: 0), .isRequired),
    AllocatorFunction("free", .free(pointer: 0), .isRequired),
    AllocatorFunction("calloc", .allocateCounted(count: 0, size: 1)),
    AllocatorFunction("realloc", .reallocate(pointer: 0, size: 1), .mayNest),
    AllocatorFunction(
      "reallocarray", .reallocateCounted(pointer: 0, count: 1, size: 2), .mayNest),
    AllocatorFunction(
      "posix_memalign", .allocateToPointer(out: 0, size: 2), [.isAligned, .mayNest]),
    AllocatorFunction("aligned_alloc", .allocate(size: 1), [.isAligned, .mayNest]),
    AllocatorFunction("memalign", .allocate(size: 1), [.isAligned, .mayNest]),
    AllocatorFunction("valloc", .allocate(size: 0), [.isAligned, .mayNest]),
    AllocatorFunction("pvalloc", .allocate(size: 0), [.isAligned, .mayNest]),
    AllocatorFunction("cfree", .free(pointer: 0)),
    AllocatorFunction("free_sized", .free(pointer: 0)),
    AllocatorFunction("free_aligned_sized", .free(pointer: 0)),
  ]

  /// glibc's own names, which some static programs keep alone.
  static let cLibraryInternal: [AllocatorFunction] =
    cLibrary.map { renamed($0, "__libc_" + $0.name, dropping: .isRequired) }
    + [
      AllocatorFunction(
        "__posix_memalign", .allocateToPointer(out: 0, size: 2), [.isAligned, .mayNest])
    ]

  /// Every replaceable `operator new` and `operator delete`.
  static let cxxOperators: [AllocatorFunction] = {
    var functions: [AllocatorFunction] = []
    for form in ["_Znwm", "_Znam"] {
      functions += [
        AllocatorFunction(form, .allocate(size: 0), [.mayThrow, .mayNest, .isOperator]),
        AllocatorFunction(
          form + "RKSt9nothrow_t", .allocate(size: 0), [.mayNest, .isOperator]),
        AllocatorFunction(
          form + "St11align_val_t", .allocate(size: 0),
          [.mayThrow, .mayNest, .isOperator, .isAligned]),
        AllocatorFunction(
          form + "St11align_val_tRKSt9nothrow_t", .allocate(size: 0),
          [.mayNest, .isOperator, .isAligned]),
      ]
    }
    for form in ["_ZdlPv", "_ZdaPv"] {
      for suffix in [
        "", "m", "RKSt9nothrow_t", "St11align_val_t", "mSt11align_val_t",
        "St11align_val_tRKSt9nothrow_t",
      ] {
        functions.append(AllocatorFunction(form + suffix, .free(pointer: 0), .isOperator))
      }
    }
    return functions
  }()

  static let jemallocExtras: [AllocatorFunction] = [
    AllocatorFunction("mallocx", .allocate(size: 0), .isAligned),
    AllocatorFunction("smallocx", .allocate(size: 0), .isAligned),
    AllocatorFunction("rallocx", .reallocate(pointer: 0, size: 1), .mayNest),
    AllocatorFunction("dallocx", .free(pointer: 0)),
    AllocatorFunction("sdallocx", .free(pointer: 0)),
  ]

  /// jemalloc's own interface, and its C interface under the prefixes that programs build it with.
  static let jemalloc: [AllocatorFunction] =
    jemallocExtras
    + ["je_", "_rjem_", "_rjem_je_"].flatMap { prefix in
      (cLibrary + jemallocExtras).map { renamed($0, prefix + $0.name, dropping: .isRequired) }
    }

  /// gperftools' second names of everything it replaces.
  static let tcmalloc: [AllocatorFunction] =
    cLibrary.map { renamed($0, "tc_" + $0.name, dropping: .isRequired) }
    + ["tc_new", "tc_newarray"].flatMap { name in
      [
        AllocatorFunction(name, .allocate(size: 0), [.mayThrow, .mayNest]),
        AllocatorFunction(name + "_nothrow", .allocate(size: 0), .mayNest),
        AllocatorFunction(
          name + "_aligned", .allocate(size: 0), [.mayThrow, .mayNest, .isAligned]),
        AllocatorFunction(name + "_aligned_nothrow", .allocate(size: 0), [.mayNest, .isAligned]),
      ]
    }
    + ["tc_delete", "tc_deletearray"].flatMap { name in
      ["", "_nothrow", "_sized", "_aligned", "_sized_aligned", "_aligned_nothrow"].map {
        AllocatorFunction(name + $0, .free(pointer: 0))
      }
    }

  /// What mimalloc adds to the C functions, without its prefix.
  static let mimallocExtras: [AllocatorFunction] =
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

  /// Functions that mimalloc also has for a given heap, which then comes first.
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

  static let mimalloc: [AllocatorFunction] = {
    // mi_cfree only calls mi_free, for blocks it knows.
    var functions = (cLibrary.filter { $0.name != "cfree" } + mimallocExtras).map {
      renamed($0, "mi_" + $0.name, dropping: .isRequired)
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
    functions += ofHeap.map { behindLeadingArgument(renamed($0, "mi_heap_" + $0.name)) }
    return functions
  }()

  private static func renamed(
    _ function: AllocatorFunction, _ name: String,
    dropping traits: AllocatorFunction.Traits = []
  ) -> AllocatorFunction {
    AllocatorFunction(name, function.kind, function.traits.subtracting(traits))
  }

  /// The same function with one argument more in front.
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
      case .map, .remap, .unmap, .programBreak: function.kind
      }
    return AllocatorFunction(function.name, kind, function.traits)
  }
}
