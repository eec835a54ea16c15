import CNativeBPF
import CTraceABI
import Foundation
import ProgramSupport
import TestTools
import Testing

extension NativeBPFTests {
  @Suite struct BlockTable {
    @Test func whatIsInsertedIsTakenOnce() {
      beginUserTables()
      for number in 0..<10_000 { #expect(native_block_insert(key(number), UInt64(number), UInt32(number % 1000))) }
      #expect(native_live_blocks() == 10_000)
      #expect(native_block_count() == 10_000)
      for number in 0..<10_000 {
        #expect(take(number) == TakenBlock(size: UInt64(number), site: UInt32(number % 1000)))
        #expect(take(number) == nil)
      }
      #expect(native_live_blocks() == 0)
      #expect(native_block_count() == 0)
      #expect(native_busy_places() == 0)
    }

    @Test func keysTellProcessesAndImagesApart() {
      beginUserTables()
      #expect(native_block_insert(lt_block_key(0x1000, 1, 1), 10, 1))
      #expect(native_block_insert(lt_block_key(0x1000, 2, 1), 20, 2))
      #expect(native_block_insert(lt_block_key(0x1000, 1, 2), 30, 3))
      var block = TakenBlock(size: 0, site: 0)
      #expect(!native_block_take(lt_block_key(0x1000, 2, 2), &block.size, &block.site))
      #expect(native_block_take(lt_block_key(0x1000, 2, 1), &block.size, &block.site))
      #expect(block == TakenBlock(size: 20, site: 2))
      #expect(native_block_take(lt_block_key(0x1000, 1, 2), &block.size, &block.site))
      #expect(block == TakenBlock(size: 30, site: 3))
    }

    @Test func theLimitOfBlocksRefusesExactlyTheRest() {
      beginUserTables(maximumBlocks: 100)
      let accepted = (0..<150).map { native_block_insert(key($0), 1, 1) }
      #expect(accepted == [Bool](repeating: true, count: 100) + [Bool](repeating: false, count: 50))
      #expect(native_live_blocks() == 100)
      #expect(take(0) != nil)
      #expect(native_block_insert(key(150), 1, 1))
      #expect(!native_block_insert(key(151), 1, 1))
    }

    /// With one bucket every choice is the same one.
    @Test func aFullBucketRefusesAndCountsNothing() {
      beginUserTables(buckets: 1)
      for number in 0..<8 { #expect(native_block_insert(key(number), UInt64(number), 1)) }
      for number in 8..<20 { #expect(!native_block_insert(key(number), UInt64(number), 1)) }
      #expect(native_live_blocks() == 8)
      #expect(native_block_count() == 8)
      #expect(take(3) == TakenBlock(size: 3, site: 1))
      #expect(native_block_insert(key(20), 20, 1))
      #expect(!native_block_insert(key(21), 21, 1))
    }

    /// Three quarters full, as the tracer sizes the table: a third choice is needed now and then, and none is refused.
    @Test func threeQuartersFitWithoutARefusal() {
      let buckets = 4096
      beginUserTables(buckets: UInt32(buckets))
      let count = buckets * Int(LT_BUCKET_ENTRIES) * 3 / 4
      let refused = (0..<count).count { !native_block_insert(key($0), UInt64($0), 1) }
      #expect(refused == 0)
      #expect((0..<count).allSatisfy { take($0)?.size == UInt64($0) })
      #expect(native_block_count() == 0)
    }

    @Test func eightThreadsLoseAndDoubleNothing() {
      let run = native_run_threads(8, 20_000, 32_768, .max, true)
      #expect(run.inserted == 160_000)
      #expect(run.refused == 0)
      #expect(run.taken == 80_000)
      #expect(run.left == 80_000)
      #expect(run.lost == 0)
      #expect(run.doubled == 0)
      #expect(run.wrong_payloads == 0)
      #expect(run.busy_places == 0)
    }

    @Test func eightThreadsFillExactlyToTheLimit() {
      let run = native_run_threads(8, 2_000, 8_192, 5_000, false)
      #expect(run.inserted == 5_000)
      #expect(run.refused == 11_000)
      #expect(run.left == 5_000)
      #expect(run.lost == 0)
      #expect(run.doubled == 0)
    }

    // MARK: ThreadSanitizer

    /// Its runtime must be there when a process begins, so that the same threads run as a program of their own.
    private func sanitized(_ options: [String] = []) throws -> (output: String, status: Int32) {
      let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
      let native = "\(root)/Tests/CNativeBPF"
      let directory = try TemporaryDirectory()
      let clang = try #require(findTool("clang"))
      // The Swift toolchain's runtime of it refers to libdispatch.
      let toolchain = URL(fileURLWithPath: clang).resolvingSymlinksInPath().deletingLastPathComponent().path
      let libraries = "\(toolchain)/../lib/swift/linux"
      let sources = ["helpers", "native_user", "native_kernel", "native_unwind", "native_threads", "sanitized/main"]
      try run(
        [clang, "-std=gnu2x", "-O1", "-g", "-fsanitize=thread", "-w", "-I", native, "-I", "\(native)/include"]
          + ["-I", "\(root)/BPF", "-I", "\(root)/BPF/x86_64", "-I", "\(root)/Sources/CTraceABI/include"] + options
          + sources.map { "\(native)/\($0).c" }
          + ["-o", directory.file("threads"), "-L", libraries, "-ldispatch", "-lBlocksRuntime", "-lpthread"]
          + ["-Wl,-rpath,\(libraries)"])
      // Both outputs through one pipe: a program with many races fills the one that nobody reads yet, and stands still.
      let program = try RunningProgram(
        ["sh", "-c", "exec \"$0\" 2>&1", directory.file("threads")],
        environment: ["TSAN_OPTIONS": "exitcode=66:symbolize=0"])
      return (program.readOutput(timeout: patience), program.wait())
    }

    @Test func threadSanitizerFindsNoRace() throws {
      let (output, status) = try sanitized()
      #expect(status == 0)
      #expect(
        output == """
          inserted=16000 refused=0 taken=8000 left=8000 lost=0 doubled=0 wrong=0 busy=0
          sites=500 new=500

          """)
    }

    /// That it would find one: loads that the compiler may do as it likes.
    @Test func threadSanitizerFindsLoadsThatAreNotAtomic() throws {
      let (output, status) = try sanitized(["-DLT_NATIVE_PLAIN_LOADS"])
      #expect(status == 66)
      #expect(output.contains("WARNING: ThreadSanitizer: data race"))
    }
  }
}
