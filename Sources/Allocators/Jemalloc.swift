extension Allocator {
  package static let jemalloc = Allocator(
    "jemalloc", libraries: ["libjemalloc", "jemalloc"], functions: jemallocNames, extensions: jemallocExtensions,
    advice: "shorter dirty_decay_ms and muzzy_decay_ms in MALLOC_CONF give free pages back sooner")

  private static let jemallocExtensions: [AllocatorFunction] = [
    AllocatorFunction("mallocx", .allocate(size: 0), .isAligned),
    AllocatorFunction("smallocx", .allocate(size: 0), .isAligned),
    AllocatorFunction("rallocx", .reallocate(pointer: 0, size: 1), .mayNest),
    AllocatorFunction("dallocx", .free(pointer: 0)),
    AllocatorFunction("sdallocx", .free(pointer: 0)),
  ]

  /// jemalloc's own interface, and its C interface under the prefixes that programs build it with.
  private static let jemallocNames: [AllocatorFunction] =
    jemallocExtensions
    + ["je_", "_rjem_", "_rjem_je_"].flatMap { prefix in
      (AllocatorCatalog.cLibrary + jemallocExtensions).map { $0.renamed(prefix + $0.name, dropping: .isRequired) }
    }
}
