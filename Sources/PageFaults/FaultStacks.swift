import CTraceABI
import Glibc
import ProcessImage
import TraceModel

/// Walks the copied stacks of one process by the call-frame information of what it has mapped, which is read when a stack
/// first leads there.
package final class FaultStacks {
  private enum Table {
    case rules(CFITable, start: UInt64)
    /// There is no file to read: frames are followed by frame pointers.
    case none
  }

  private let processID: Int32
  private let mappings: [Mapping]
  private let origin: UInt64
  /// By index of the mapping.
  private var tables: [Int: Table] = [:]
  private var words = 0
  /// 32-bit words of all tables of a process: 8 MiB.
  private static let mostWords = 2 << 20

  /// - Throws: where the process is gone or may not be read.
  package init(processID: Int32) throws(ProcessError) {
    self.processID = processID
    let all = try ProcessMaps.read(processID: processID)
    mappings = all.filter { $0.permissions.contains(.execute) }
    data = all.filter { !$0.permissions.contains(.execute) }
    origin = Self.stackStart(of: processID) ?? 0
    memory = try? RemoteMemory(processID: processID)
  }

  private let data: [Mapping]
  /// Read for code without call-frame information only.
  private let memory: RemoteMemory?

  /// All mappings as they were at the beginning.
  package var snapshot: AddressSpaceSnapshot { AddressSpaceSnapshot(mappings: mappings) }

  /// Whether an address is in a mapping of a file, whose pages the kernel can drop by itself. A mapping that is newer
  /// than this list is most likely anonymous.
  package func isInFile(_ address: UInt64) -> Bool {
    Self.index(of: address, in: data).map { data[$0].isFileBacked && !data[$0].path.hasPrefix("/dev/zero") } ?? false
  }

  package func stack(of fault: PageFaultSampler.Fault) -> StackTrace {
    var unwinder = StackCopyUnwinder(
      frames: [fault.instruction], flags: 0, lookup: fault.instruction, stackPointer: fault.stackPointer,
      framePointer: fault.framePointer, origin: origin, copy: fault.stack, copyStart: fault.stackPointer)
    let isCode: (UInt64) -> Bool = { Self.index(of: $0, in: self.mappings) != nil }
    let view = CodeView(
      isCode: isCode,
      hasRow: { address in
        guard let index = Self.index(of: address, in: self.mappings) else { return nil }
        switch self.table(index) {
        case .rules(let table, let start): return table.rule(at: address &- start) != CFIRule.noRow
        case .none: return false
        }
      }, word: { self.memory?.value(at: $0, as: UInt64.self) })
    let outcome = unwinder.walk(view) { address in
      guard let index = Self.index(of: address, in: self.mappings) else { return .nothing(LT_UNWIND_UNKNOWN_MAPPING) }
      switch self.table(index) {
      case .rules(let table, let start): return .rule(table.rule(at: address &- start))
      case .none: return .rule(CFIRule.noRow)
      }
    }
    let completeness: StackTrace.Completeness =
      switch outcome & 0xff {
      case LT_OUTCOME_COMPLETE.rawValue: .complete
      case LT_OUTCOME_TRUNCATED.rawValue: .truncated
      default: .broken
      }
    return StackTrace(addresses: unwinder.frames, completeness: completeness)
  }

  private func table(_ index: Int) -> Table {
    if let known = tables[index] { return known }
    let table = load(mappings[index]) ?? .none
    tables[index] = table
    return table
  }

  private func load(_ mapping: Mapping) -> Table? {
    guard words < Self.mostWords, mapping.isFileBacked,
      let file = try? RootedFile.open(mapping: mapping, processID: processID),
      let elf = try? ElfFile(descriptor: file.descriptor, name: mapping.path)
    else { return nil }
    defer { elf.releasePages() }
    let segment = elf.loadSegments.first {
      let first = $0.fileOffset & ~0xfff
      return $0.isExecutable && mapping.fileOffset >= first && mapping.fileOffset - first < $0.fileSize &+ 0xfff
    }
    guard let segment, let table = try? CFITable(file: elf), words + table.wordCount <= Self.mostWords else {
      return nil
    }
    words += table.wordCount
    // How far an address of the file is moved in the process.
    return .rules(table, start: mapping.start &- (segment.virtualAddress &+ mapping.fileOffset &- segment.fileOffset))
  }

  private static func index(of address: UInt64, in mappings: [Mapping]) -> Int? {
    var (low, high) = (0, mappings.count)
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low < mappings.count && mappings[low].contains(address) ? low : nil
  }

  /// The 28th field of /proc/PID/stat; the second may hold blanks.
  private static func stackStart(of processID: Int32) -> UInt64? {
    var text = [UInt8](repeating: 0, count: 2048)
    let descriptor = open("/proc/\(processID)/stat", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    let count = read(descriptor, &text, text.count)
    guard count > 0, let end = text[..<count].lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = text[(end + 1)..<count].split(separator: UInt8(ascii: " "))
    return fields.count > 25 ? UInt64(String(decoding: fields[25], as: UTF8.self)) : nil
  }
}
