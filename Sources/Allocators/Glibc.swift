extension Allocator {
  package static let glibc = Allocator(
    "glibc", libraries: ["libc.so.6", "libc-2."], replacesCLibrary: false, functions: internalNames,
    advice: "malloc_trim(0) gives whole free pages back; see also MALLOC_ARENA_MAX and MALLOC_TRIM_THRESHOLD_")

  /// glibc's internal names of the C functions. Some static programs have only these.
  private static let internalNames: [AllocatorFunction] =
    AllocatorCatalog.cLibrary.map { $0.renamed("__libc_" + $0.name, dropping: .isRequired) }
    + [
      AllocatorFunction(
        "__posix_memalign", .allocateToPointer(out: 0, size: 2), [.isAligned, .mayNest])
    ]
}
