import CNativeBPF
import CTraceABI
import Testing

extension NativeBPFTests {
  @Suite struct SiteTable {
    @Test func aSiteIsEnteredOnceAndFoundAgain() throws {
      beginUserTables()
      let first = native_user_site(0x11, 3, 1, 0, 0)
      #expect(first.is_new)
      let again = native_user_site(0x11, 3, 1, 0, 0)
      #expect(!again.is_new)
      #expect(again.index == first.index)
      let site = try #require(native_user_site_at(first.index)).pointee
      #expect(site.stack_hash == 0x11)
      #expect(site.process_slot == 3)
      #expect(site.process_generation == 1)
      #expect(site.state == LT_SITE_READY.rawValue)
    }

    @Test func everythingThatIdentifiesASiteTellsItApart() {
      beginUserTables()
      let sites = [
        native_user_site(0x11, 3, 1, 0, 0), native_user_site(0x13, 3, 1, 0, 0), native_user_site(0x11, 4, 1, 0, 0),
        native_user_site(0x11, 3, 2, 0, 0), native_user_site(0x11, 3, 1, 1, 0), native_user_site(0x11, 3, 1, 0, 77),
      ]
      #expect(sites.allSatisfy { $0.is_new })
      #expect(Set(sites.map(\.index)).count == sites.count)
      #expect(
        native_user_site_at(sites[5].index)?.pointee.state == LT_SITE_READY.rawValue | 77
          << UInt32(LT_SITE_THREAD_SHIFT))
    }

    @Test func kernelSitesAreToldApartByTheFlagsThatMatterOnly() {
      var configuration = lt_kernel_configuration()
      configuration.block_buckets = 64
      configuration.site_count = 1024
      native_kernel_begin(&configuration)
      let slab = LT_KERNEL_SLAB.rawValue
      // __GFP_ACCOUNT has caches of its own for kmalloc; GFP_ATOMIC's flags do not, and a cache is one whatever the flags.
      let (account, high): (UInt32, UInt32) = (0x40_0000, 0x20)
      let plain = native_kernel_site(0xffff_0001, 0, 0, 64, 0, slab)
      #expect(plain.is_new)
      #expect(native_kernel_site(0xffff_0001, 0, 0, 64, high, slab).index == plain.index)
      #expect(native_kernel_site(0xffff_0001, 0, 0, 64, account, slab).is_new)
      #expect(native_kernel_site(0xffff_0001, 0, 0, 128, 0, slab).is_new)
      let cache = native_kernel_site(0xffff_0001, 0xffff_8000, 0, 0, 0, slab)
      #expect(cache.is_new)
      #expect(native_kernel_site(0xffff_0001, 0xffff_8000, 0, 0, account, slab).index == cache.index)
      #expect(native_kernel_site(0xffff_0001, 0xffff_8000, 5, 0, 0, slab).is_new)
      #expect(native_kernel_site_at(plain.index)?.pointee.is_kmalloc == 1)
      #expect(native_kernel_site_at(cache.index)?.pointee.is_kmalloc == 0)
    }

    /// A site has 24 places; a table that is half full has room for all, a full one refuses and keeps what it has.
    @Test func aFullTableRefusesAndKeepsWhatItHas() {
      beginUserTables(sites: 1024)
      var indices: [UInt64: UInt32] = [:]
      var refused = 0
      for hash in UInt64(0)..<512 {
        let site = native_user_site(hash, 1, 1, 0, 0)
        #expect(site.index != LT_NO_SITE)
        indices[hash] = site.index
      }
      for hash in UInt64(512)..<4096 {
        let site = native_user_site(hash, 1, 1, 0, 0)
        if site.index == LT_NO_SITE { refused += 1 } else { indices[hash] = site.index }
      }
      #expect(Set(indices.values).count == indices.count)
      #expect(indices.count <= 1024)
      #expect(indices.count > 1000)
      #expect(refused == 4096 - indices.count)
      for (hash, index) in indices {
        let site = native_user_site(hash, 1, 1, 0, 0)
        #expect(site.index == index)
        #expect(!site.is_new)
      }
    }

    @Test func eightThreadsEnterEachSiteOnce() {
      var (entered, calledNew): (UInt64, UInt64) = (0, 0)
      native_run_site_threads(8, 1000, &entered, &calledNew)
      #expect(entered == 1000)
      #expect(calledNew == 1000)
    }

    @Test func aStacksHashDependsOnEveryFrameOnDepthAndOutcome() {
      var stack = lt_stack()
      stack.depth = 3
      withUnsafeMutableBytes(of: &stack.frames) { bytes in
        for (index, frame) in [0x1000, 0x2000, 0x3000, 0x4000].enumerated() {
          bytes.storeBytes(of: UInt64(frame), toByteOffset: index * 8, as: UInt64.self)
        }
      }
      let hash = native_stack_hash(&stack)
      // What user space computes for a stack that it completes.
      #expect(hash == lt_finish_stack_hash([0x1000, 0x2000, 0x3000].reduce(0, lt_hash_frame), 3))
      #expect(hash & 1 == 1)
      var hashes: Set = [hash]
      for change in [
        { $0.depth = 2 }, { $0.depth = 4 }, { $0.outcome = 1 }, { $0.frames.0 += 16 }, { $0.frames.2 += 1 },
      ]
        as [(inout lt_stack) -> Void]
      {
        var other = stack
        change(&other)
        hashes.insert(native_stack_hash(&other))
      }
      #expect(hashes.count == 6)
    }

    @Test func stacksAreStoredOnceAndRefusedWhenTheirMapIsFull() {
      beginUserTables()
      var stack = lt_stack()
      stack.depth = UInt32(LT_SHORT_STACK_DEPTH)
      for hash in UInt64(1)...16 { #expect(native_stack_store(&stack, hash)) }
      #expect(native_stack_store(&stack, 16))
      #expect(!native_stack_store(&stack, 17))
      // Deeper ones have a map of their own.
      stack.depth += 1
      #expect(native_stack_store(&stack, 17))
    }
  }

  @Suite struct KernelBlocks {
    private func begin(buckets: UInt32) -> UInt32 {
      var configuration = lt_kernel_configuration()
      configuration.block_buckets = buckets
      configuration.site_count = 64
      native_kernel_begin(&configuration)
      return native_kernel_site(0xffff_0001, 0, 0, 64, 0, LT_KERNEL_SLAB.rawValue).index
    }

    private let slab = LT_KERNEL_SLAB.rawValue

    @Test func aBlockIsRecordedAndReleased() throws {
      let index = begin(buckets: 64)
      #expect(native_kernel_record(0xffff_8000_0000_1000, slab, 64, index, 0))
      #expect(native_kernel_release(0xffff_8000_0000_1000, slab))
      #expect(!native_kernel_release(0xffff_8000_0000_1000, slab))
      let site = try #require(native_kernel_site_at(index)).pointee
      #expect(site.allocated_bytes == 64 && site.allocated_count == 1)
      #expect(site.freed_bytes == 64 && site.freed_count == 1)
      #expect(native_kernel_counter(LT_KERNEL_COUNTER_UNMATCHED_FREES) == 1)
    }

    /// At level L a block stands for 2^L.
    @Test(arguments: [UInt32(1), 4, 15]) func aSampleIsCountedAtItsLevel(level: UInt32) throws {
      let index = begin(buckets: 64)
      #expect(native_kernel_record(0xffff_8000_0000_1000, slab, 64, index, level))
      let site = try #require(native_kernel_site_at(index)).pointee
      #expect(site.allocated_bytes == 64 << UInt64(level) && site.allocated_count == 1 << UInt64(level))
      #expect(native_kernel_release(0xffff_8000_0000_1000, slab))
      let after = try #require(native_kernel_site_at(index)).pointee
      #expect(after.freed_bytes == after.allocated_bytes && after.freed_count == after.allocated_count)
    }

    @Test func anAddressThatIsHandedOutAgainReplacesItsBlock() throws {
      let index = begin(buckets: 64)
      #expect(native_kernel_record(0xffff_8000_0000_1000, slab, 64, index, 0))
      #expect(native_kernel_record(0xffff_8000_0000_1000, slab, 96, index, 0))
      let site = try #require(native_kernel_site_at(index)).pointee
      #expect(site.allocated_bytes == 160 && site.freed_bytes == 64 && site.reused_count == 1)
      #expect(native_kernel_counter(LT_KERNEL_COUNTER_MISSED_FREES) == 1)
      #expect(native_kernel_release(0xffff_8000_0000_1000, slab))
      #expect(!native_kernel_release(0xffff_8000_0000_1000, slab))
    }

    @Test func aFullTableRefusesAndNoTotalIncludesIt() throws {
      let index = begin(buckets: 1)
      for number in UInt64(0)..<8 {
        #expect(native_kernel_record(0xffff_8000_0000_0000 + number * 64, slab, 64, index, 0))
      }
      for number in UInt64(8)..<13 {
        #expect(!native_kernel_record(0xffff_8000_0000_0000 + number * 64, slab, 64, index, 0))
      }
      let site = try #require(native_kernel_site_at(index)).pointee
      #expect(site.allocated_bytes == 512 && site.allocated_count == 8)
      #expect(native_kernel_counter(LT_KERNEL_COUNTER_BLOCKS_REFUSED) == 5)
      #expect(native_kernel_counter(LT_KERNEL_COUNTER_BYTES_REFUSED) == 320)
      #expect(native_kernel_third_choices() == 0)
    }

    /// In so full a table some blocks are in their third bucket; they are found there, and the count of them returns to 0.
    @Test func thirdChoicesAreCountedAndFound() {
      let index = begin(buckets: 32)
      let recorded = (UInt64(0)..<250).filter {
        native_kernel_record(0xffff_8000_0000_0000 + $0 * 64, slab, 64, index, 0)
      }
      #expect(native_kernel_third_choices() > 0)
      #expect(native_kernel_counter(LT_KERNEL_COUNTER_BLOCKS_REFUSED) == UInt64(250 - recorded.count))
      #expect(recorded.allSatisfy { native_kernel_release(0xffff_8000_0000_0000 + $0 * 64, slab) })
      #expect(native_kernel_third_choices() == 0)
    }
  }
}
