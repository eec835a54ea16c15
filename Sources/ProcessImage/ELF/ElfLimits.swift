/// How much of an ELF file is read. A file of a few kilobytes can claim tables of terabytes, which are holes.
///
/// What lies beyond is as if the file did not have it. No file that a linker wrote comes near these numbers; those of browsers
/// with all their symbols have less than half of each.
package enum ElfLimits {
  /// Entries of a symbol table, of 24 bytes each.
  package static let symbols = 4 << 20
  /// Entries of a relocation table, of 24 bytes each.
  package static let relocations = 8 << 20
  /// Program headers; the kernel runs no program with more than 1,170.
  static let programHeaders: UInt64 = 4096
  /// Segments that are loaded.
  static let loadSegments = 256
  /// Section headers.
  static let sections: UInt64 = 100_000
  /// Notes that are searched for the build id, in all segments and sections together.
  static let notes = 4096
  /// Buckets of a hash table, and the symbols of one bucket.
  static let hashBuckets: UInt64 = 4 << 20
  static let hashChain = 1 << 16
}
