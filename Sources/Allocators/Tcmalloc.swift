extension Allocator {
  package static let tcmalloc = Allocator(
    "tcmalloc", libraries: ["libtcmalloc", "tcmalloc"], functions: tcmallocNames,
    advice: "MallocExtension::ReleaseFreeMemory or a higher TCMALLOC_RELEASE_RATE gives free pages back")

  /// gperftools' second names of everything it replaces.
  private static let tcmallocNames: [AllocatorFunction] =
    AllocatorCatalog.cLibrary.map { $0.renamed("tc_" + $0.name, dropping: .isRequired) }
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
}
