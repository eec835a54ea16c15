import AllocationTracing
import CNativeBPF
import CTraceABI
import Testing

/// The helpers of the programs share their tables: one test at a time.
@Suite(.serialized) struct NativeBPFTests {}

func beginUserTables(
  buckets: UInt32 = 4096, maximumBlocks: UInt32 = .max, sites: UInt32 = 1024, sampleMean: UInt64 = 0,
  everyNth: UInt32 = 0
) {
  var configuration = lt_configuration()
  configuration.block_buckets = buckets
  configuration.maximum_blocks = maximumBlocks
  configuration.site_count = sites
  configuration.sample_mean = sampleMean
  configuration.sample_every_nth = everyNth
  configuration.fillSamplingTables()
  native_set_random_seed(42)
  native_user_begin(&configuration)
}

func key(_ number: Int) -> UInt64 { lt_block_key(0x5555_0000_0000 + UInt64(number) * 16, 2, 1) }

struct TakenBlock: Equatable {
  var size: UInt64
  var site: UInt32
}

func take(_ number: Int) -> TakenBlock? {
  var block = TakenBlock(size: 0, site: 0)
  return native_block_take(key(number), &block.size, &block.site) ? block : nil
}
