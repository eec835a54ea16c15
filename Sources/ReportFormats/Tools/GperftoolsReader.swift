import Glibc
import Quantities
import SystemSupport
import TextOutput
import TraceModel

/// Reads heap profiles in gperftools' text form, as tcmalloc and jeprof's `--text` sources write them.
package enum GperftoolsReader {
  package static func isProfile(_ bytes: [UInt8]) -> Bool { bytes.starts(with: Array("heap profile:".utf8)) }

  package static func report(from bytes: [UInt8]) throws(Refusal) -> Report {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    guard let head = lines.first, let (_, _, tail) = numbers(head.dropFirst("heap profile:".count)) else {
      throw Refusal("this is no heap profile of gperftools: its first line cannot be read")
    }
    var report = Report(
      target: Report.Target(kind: .process),
      window: Report.Window(startInUnixSeconds: 0, duration: .zero))
    // heap_v2/524288: what was sampled, one sample in so many bytes.
    let period = tail.split(separator: "/").last.flatMap { Double($0.trimmingBlanks) } ?? 0
    let isSampled = tail.contains("heap_v2/") && period > 1
    if isSampled { report.sampling = Report.Sampling(meanInBytes: UInt64(period)) }
    let body = lines.dropFirst().prefix { !$0.hasPrefix("MAPPED_LIBRARIES:") }
    let maps = modules(lines.drop { !$0.hasPrefix("MAPPED_LIBRARIES:") }.dropFirst())
    for line in body where !line.allSatisfy({ $0 == " " }) {
      guard let (used, all, addresses) = numbers(line) else {
        throw Refusal("the heap profile is damaged: '\(singleLine(String(line.prefix(60))))' cannot be read")
      }
      let frames = addresses.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) }.map { address in
        var frame = Frame(address: address, unresolved: .noSymbol)
        if let map = maps.first(where: { $0.start <= address && address < $0.end }) {
          frame.module = map.path
          frame.moduleOffset = address &- map.start &+ map.offset
        }
        return frame
      }
      let scaled = isSampled ? (scale(used, period), scale(all, period)) : (used, all)
      let freed = Tally(
        bytes: scaled.1.bytes - min(scaled.1.bytes, scaled.0.bytes),
        count: scaled.1.count - min(scaled.1.count, scaled.0.count))
      report.sites.append(
        AllocationSite(
          processID: 0, allocationClass: .heap, allocator: "heap", outstanding: scaled.0, allocated: scaled.1,
          freed: freed, stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames,
          verdicts: [.unchecked: scaled.0]))
      report.totals.outstanding += scaled.0
      report.totals.allocated += scaled.1
      report.totals.freed += freed
    }
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return report
  }

  /// ` 1: 100 [ 2: 300] @ REST`.
  private static func numbers(_ text: Substring) -> (Tally, Tally, Substring)? {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    let values = parts[0].split { !$0.isNumber }.map { UInt64($0) }
    guard values.count == 4, let count = values[0], let bytes = values[1], let allCount = values[2],
      let allBytes = values[3]
    else { return nil }
    return (Tally(bytes: bytes, count: count), Tally(bytes: allBytes, count: allCount), parts[1])
  }

  /// pprof's correction: samples of blocks of this mean size were taken with probability 1 − e^(−size/period).
  private static func scale(_ tally: Tally, _ period: Double) -> Tally {
    guard tally.count > 0, tally.bytes > 0 else { return tally }
    let mean = Double(tally.bytes) / Double(tally.count)
    let factor = 1 / (1 - exp(-mean / period))
    guard factor.isFinite, Double(tally.bytes) * factor < 1e18 else { return tally }
    return Tally(
      bytes: UInt64(saturating: (Double(tally.bytes) * factor).rounded()),
      count: UInt64(saturating: (Double(tally.count) * factor).rounded()))
  }

  private static func modules(_ lines: ArraySlice<Substring>) -> [(
    start: UInt64, end: UInt64, offset: UInt64, path: String
  )] {
    var found: [(start: UInt64, end: UInt64, offset: UInt64, path: String)] = []
    for line in lines {
      let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      let range = fields.first?.split(separator: "-") ?? []
      guard fields.count == 6, range.count == 2, let start = UInt64(range[0], radix: 16),
        let end = UInt64(range[1], radix: 16), let offset = UInt64(fields[2], radix: 16)
      else { continue }
      found.append((start, end, offset, String(fields[5]).trimmingBlanks))
    }
    return found
  }
}

extension StringProtocol {
  var trimmingBlanks: String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" || $0 == "\r" }.reversed())
  }
}
