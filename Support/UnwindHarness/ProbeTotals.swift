import BPFRuntime
import CTraceABI

/// What the probe measured, added over all CPUs.
package struct ProbeTotals {
  package var events: UInt64 = 0
  package var frames: UInt64 = 0
  package var nanoseconds: UInt64 = 0
  package var kernelNanoseconds: UInt64 = 0
  private var clockNanoseconds: UInt64 = 0
  private var clockReadings: UInt64 = 0
  package var complete: UInt64 = 0
  package var truncated: UInt64 = 0
  package var broken: UInt64 = 0
  package var withFramePointers: UInt64 = 0
  package var stops: UInt64 = 0
  /// Number of complete stacks by depth.
  package var depths = [UInt64](repeating: 0, count: Int(LT_MAX_STACK_DEPTH) + 1)
  package var histogram = [UInt64](repeating: 0, count: Int(LT_PROBE_BUCKETS))
  package var kernelHistogram = [UInt64](repeating: 0, count: Int(LT_PROBE_BUCKETS))

  init(map: BPFMap) throws {
    try map.forEachCPUValue { value in
      func word(_ field: PartialKeyPath<lt_probe_totals>, _ index: Int = 0) -> UInt64 {
        let offset = MemoryLayout<lt_probe_totals>.offset(of: field) ?? 0
        return value.load(fromByteOffset: offset + index * 8, as: UInt64.self)
      }
      func add(_ field: PartialKeyPath<lt_probe_totals>, to histogram: inout [UInt64]) {
        let offset = MemoryLayout<lt_probe_totals>.offset(of: field) ?? 0
        for bucket in histogram.indices {
          histogram[bucket] += UInt64(
            value.load(fromByteOffset: offset + bucket * 4, as: UInt32.self))
        }
      }
      events += word(\.events)
      frames += word(\.frames)
      nanoseconds += word(\.nanoseconds)
      kernelNanoseconds += word(\.kernel_nanoseconds)
      clockNanoseconds += word(\.clock_nanoseconds)
      clockReadings += word(\.clock_readings)
      complete += word(\.statuses, 0)
      truncated += word(\.statuses, 1)
      broken += word(\.statuses, 2)
      withFramePointers += word(\.with_frame_pointers)
      stops += word(\.stops)
      for depth in depths.indices { depths[depth] += word(\.depths, depth) }
      add(\.histogram, to: &histogram)
      add(\.kernel_histogram, to: &kernelHistogram)
    }
  }

  package var walks: UInt64 { complete + truncated + broken }
  package var meanFrames: Double { Double(frames) / Double(max(1, walks)) }
  /// The part of every measured duration that is the clock's own, in nanoseconds.
  package var clock: Double { Double(clockNanoseconds) / Double(max(1, clockReadings)) }

  /// The duration that a part of all walks, 0 to 1, stays below, in nanoseconds; it includes the clock's own time.
  package static func quantile(_ part: Double, of histogram: [UInt64]) -> Double {
    let total = histogram.reduce(0.0) { $0 + Double($1) }
    var seen = 0.0
    for (bucket, count) in histogram.enumerated() {
      if count > 0, seen + Double(count) >= total * part {
        let inside = (total * part - seen) / Double(count)
        return (Double(bucket) + inside) * Double(LT_PROBE_BUCKET_NANOSECONDS)
      }
      seen += Double(count)
    }
    return .nan
  }
}
