/// Every allocator function that is known by name: those of C and C++, and what each ``Allocator`` adds.
package enum AllocatorCatalog {
  /// All known functions. Where a function has several symbols, the one that comes first here names it.
  package static let functions: [AllocatorFunction] =
    cLibrary + Allocator.all.filter { !$0.replacesCLibrary }.flatMap(\.functions) + cxxOperators
    + Allocator.all.filter(\.replacesCLibrary).flatMap(\.functions)

  /// The C functions behind a prefix, as `-S PREFIX` asks for.
  package static func functions(withPrefix prefix: String) -> [AllocatorFunction] {
    (cLibrary + Allocator.all.flatMap(\.extensions)).map { $0.renamed(prefix + $0.name) }
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
}
