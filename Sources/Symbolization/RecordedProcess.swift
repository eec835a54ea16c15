import ProcessImage
import TraceModel

/// The executable mappings of one process, as far as they were seen.
final class RecordedProcess {
  /// What is at a range of addresses.
  struct Region {
    var mapping: Mapping
    var contents: Contents

    enum Contents {
      case module(Module)
      /// Memory that the process filled with code itself.
      case generatedCode
      /// A file that could not be read.
      case unreadable
      /// A kernel area without a symbol table (`[vsyscall]`, `[uprobes]`).
      case kernelArea
    }
  }

  /// Ascending by address, not overlapping.
  private(set) var regions: [Region] = []
  private let process: ProcessImage.ProcessInfo?
  private lazy var perfMap: PerfMapFile? = process.map(PerfMapFile.init)
  /// Whether the perf map has been asked for, so that nothing is opened for processes without generated code.
  private var usesPerfMap = false

  init(processID: Int32) {
    process = try? ProcessImage.ProcessInfo(processID: processID)
  }

  /// Takes over a new list of mappings. Older regions stay where no new mapping has taken their addresses, so that stacks from
  /// before an unloading can still be named.
  func update(_ mappings: [Mapping], contents: (Mapping) -> Region.Contents) {
    let sorted = mappings.sorted { $0.start < $1.start }
    var updated: [Region] = []
    for region in regions {
      for mapping in region.mapping.subtracting(sorted) {
        updated.append(Region(mapping: mapping, contents: region.contents))
      }
    }
    let known = Dictionary(
      regions.map { ($0.mapping, $0.contents) }, uniquingKeysWith: { first, _ in first })
    for mapping in sorted where mapping.permissions.contains(.execute) {
      if case .module(let module)? = known[mapping] {
        updated.append(Region(mapping: mapping, contents: .module(module)))
      } else {
        updated.append(Region(mapping: mapping, contents: contents(mapping)))
      }
    }
    updated.sort { $0.mapping.start < $1.mapping.start }
    regions = updated
    if regions.contains(where: { if case .generatedCode = $0.contents { true } else { false } }) {
      // Opened early, because the file is out of reach once the process has ended.
      usesPerfMap = true
      _ = perfMap
    }
  }

  /// The region that holds an address.
  func region(at address: UInt64) -> Region? {
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

extension Mapping {
  /// The parts of the mapping that none of the others covers; `others` ascend by address and do not overlap.
  func subtracting(_ others: [Mapping]) -> [Mapping] {
    var low = 0
    var high = others.count
    while low < high {
      let middle = (low + high) / 2
      if others[middle].end <= start { low = middle + 1 } else { high = middle }
    }
    var parts: [Mapping] = []
    var position = start
    while position < end {
      let next = low < others.count ? min(others[low].start, end) : end
      if next > position { parts.append(part(from: position, to: next)) }
      guard low < others.count else { break }
      position = max(position, others[low].end)
      low += 1
    }
    return parts
  }

  private func part(from newStart: UInt64, to newEnd: UInt64) -> Mapping {
    var part = self
    part.start = newStart
    part.end = newEnd
    part.fileOffset &+= newStart &- start
    return part
  }
}
