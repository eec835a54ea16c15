import ProcessImage
import TraceModel

/// The executable mappings of one process, as far as they were seen.
///
/// A process may put other code where it has removed some. Epochs tell which code an address was in: an address means one
/// thing in one epoch.
final class RecordedProcess {
  /// What lay at a range of addresses for some time.
  struct Region {
    var area: AddressSpaceSnapshot.Area
    /// What names its addresses.
    var source: any FrameSource
    /// The first and the last epoch in which it was seen.
    var epochs: ClosedRange<UInt32>
    /// That of its code: regions of the same file have the same.
    var number: Int
    var mapping: Mapping { area.mapping }
  }

  /// The regions of the last update, ascending by address; they do not overlap.
  private(set) var regions: [Region] = []
  /// The regions of earlier updates, the oldest first.
  private(set) var former: [Region] = []
  private let numbers: CodeNumbers
  private static let generatedCodeNumber = -1
  /// A process that loads and unloads forever must not fill our memory.
  private static let maximumFormerCount = 4096
  private let process: ProcessImage.ProcessInfo?
  private let perfMapLimits: PerfMapLimits
  private lazy var perfMap: PerfMapFile? = process.map { PerfMapFile($0, limits: perfMapLimits) }
  /// Whether the perf map has been asked for, so that nothing is opened for processes without generated code.
  private var usesPerfMap = false

  /// - Parameters:
  ///   - perfMapLimits: what this process's perf map shares with those of others.
  ///   - numbers: of the code of all processes.
  init(processID: Int32, perfMapLimits: PerfMapLimits = PerfMapLimits(), numbers: CodeNumbers = CodeNumbers()) {
    self.numbers = numbers
    self.perfMapLimits = perfMapLimits
    process = try? ProcessImage.ProcessInfo(processID: processID)
  }

  /// Takes over what is executable now. What was there before keeps its names for stacks of its time.
  func update(
    _ snapshot: AddressSpaceSnapshot, epoch: UInt32, source: (Mapping) -> any FrameSource
  ) {
    var updated: [Region] = []
    var old = regions[...]
    for area in snapshot.areas {
      while let first = old.first, first.mapping.start < area.mapping.start {
        retire(old.removeFirst())
      }
      if var region = old.first, region.area.hasSameCode(as: area), !region.source.isUnreadable {
        old.removeFirst()
        region.area = area
        region.epochs = region.epochs.lowerBound...max(region.epochs.upperBound, epoch)
        updated.append(region)
      } else {
        let source = source(area.mapping)
        updated.append(Region(area: area, source: source, epochs: epoch...epoch, number: number(of: source)))
      }
    }
    for region in old { retire(region) }
    regions = updated
    if former.count > Self.maximumFormerCount {
      former.removeFirst(former.count - Self.maximumFormerCount)
    }
    if regions.contains(where: \.source.isGeneratedCode) {
      // Opened early, because the file is out of reach once the process has ended.
      usesPerfMap = true
      _ = perfMap
    }
  }

  private func number(of source: any FrameSource) -> Int {
    source.isGeneratedCode ? Self.generatedCodeNumber : numbers.number(for: source.codeKey)
  }

  /// Keeps a region for the stacks of its time; but not memory for generated code, which comes and goes, and whose names the
  /// perf map has.
  private func retire(_ region: Region) {
    if region.number != Self.generatedCodeNumber { former.append(region) }
  }

  /// The place in code of an address in an epoch; that of a call for a return address. nil where nobody knows what lay there.
  func place(of address: UInt64, epoch: UInt32) -> CodePlace? {
    guard let region = region(at: address &- 1, epoch: epoch) ?? region(at: address, epoch: epoch) else { return nil }
    if region.number == Self.generatedCodeNumber { return CodePlace(code: region.number, offset: address) }
    return CodePlace(code: region.number, offset: address &- region.mapping.start &+ region.mapping.fileOffset)
  }

  /// The region that held an address in an epoch.
  func region(at address: UInt64, epoch: UInt32) -> Region? {
    if let region = current(at: address), region.epochs.contains(epoch) { return region }
    return former.last { $0.mapping.contains(address) && $0.epochs.contains(epoch) }
  }

  private func current(at address: UInt64) -> Region? {
    var low = 0
    var high = regions.count
    while low < high {
      let middle = (low + high) / 2
      if regions[middle].mapping.end <= address { low = middle + 1 } else { high = middle }
    }
    guard low < regions.count, regions[low].mapping.contains(address) else { return nil }
    return regions[low]
  }

  /// To be called before the addresses of a stack are looked up.
  func beginStack() {
    if usesPerfMap { perfMap?.allowRereading() }
  }

  /// The name that the process's perf map gives an address.
  func generatedFunction(at address: UInt64) -> PerfMap.Match? { perfMap?.lookup(address) }
}
