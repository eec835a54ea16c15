import Testing

@testable import LeakAnalysis

@Suite struct RetentionFindingTests {
  static let mebibyte: Int64 = 1 << 20

  private func numbers(
    resident: Int64, growth: Int64, outstanding: Int64, count: UInt64 = 100, pinned: UInt64? = nil,
    allocator: RetentionFinding.Allocator = .glibc
  ) -> RetentionFinding.Numbers {
    RetentionFinding.Numbers(
      residentBytes: UInt64(resident), residentGrowth: growth, outstandingGrowth: outstanding, outstandingCount: count,
      pinnedBytes: pinned, allocator: allocator)
  }

  @Test func significance() {
    let m = Self.mebibyte
    #expect(RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: 100 * m, outstanding: m)))
    #expect(RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: 100 * m, outstanding: -5 * m)))
    // All of it is outstanding, with its headers.
    #expect(!RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: 100 * m, outstanding: 95 * m)))
    #expect(
      !RetentionFinding.isSignificant(
        numbers(resident: 120 * m, growth: 100 * m, outstanding: 16 * m, count: 4_000_000)))
    #expect(!RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: 7 * m, outstanding: 0)))
    #expect(!RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: -50 * m, outstanding: -60 * m)))
    #expect(!RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: .max, outstanding: .max, count: .max)))
    #expect(!RetentionFinding.isSignificant(numbers(resident: 120 * m, growth: .min, outstanding: .max)))
  }

  @Test func sentences() {
    let m = Self.mebibyte
    #expect(RetentionFinding.sentence(numbers(resident: m, growth: m, outstanding: 0)) == nil)
    #expect(
      RetentionFinding.sentence(numbers(resident: 120 * m, growth: 100 * m, outstanding: m / 2))
        == "RSS of the heap grew by 100.0 MiB while outstanding memory grew by 0.5 MiB: fragmentation or retention by "
        + "the allocator, or memory from before the trace that is first written now; malloc_trim(0) gives whole free pages back; see also MALLOC_ARENA_MAX and "
        + "MALLOC_TRIM_THRESHOLD_")
    // What was outstanding once and is given back now explains it.
    var freed = numbers(resident: 120 * m, growth: 100 * m, outstanding: m / 2)
    freed.greatestOutstanding = UInt64(90 * m)
    #expect(RetentionFinding.sentence(freed)?.contains("the allocator, not a leak;") == true)
    #expect(
      RetentionFinding.sentence(
        numbers(resident: 100 * m, growth: 100 * m, outstanding: -m, pinned: UInt64(90 * m), allocator: .jemalloc))
        == "RSS of the heap grew by 100.0 MiB while outstanding memory shrank by 1.0 MiB: fragmentation or retention by "
        + "the allocator, not a leak; outstanding blocks lie on 90 % of its pages: fragmentation")
    #expect(
      RetentionFinding.sentence(
        numbers(resident: 100 * m, growth: 100 * m, outstanding: 0, pinned: UInt64(5 * m), allocator: .other))
        == "RSS of the heap grew by 100.0 MiB while outstanding memory grew by 0.0 MiB: fragmentation or retention by "
        + "the allocator, not a leak; outstanding blocks lie on 5 % of its pages, the others are free and kept")
  }

  @Test(arguments: [
    ("/usr/lib/x86_64-linux-gnu/libc.so.6", RetentionFinding.Allocator.glibc), ("/lib/libc-2.31.so", .glibc),
    ("/usr/lib/libjemalloc.so.2", .jemalloc), ("/usr/lib/libtcmalloc_minimal.so.4", .tcmalloc),
    ("/opt/lib/libmimalloc.so.2.0", .mimalloc), ("/opt/app/server", .other), ("/lib/libcurl.so.4", .other),
  ]) func allocators(path: String, allocator: RetentionFinding.Allocator) {
    #expect(RetentionFinding.Allocator(objectPath: path) == allocator)
  }
}
