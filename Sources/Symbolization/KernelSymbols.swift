import Glibc
import ProcessImage
import TraceModel

/// Names kernel addresses from `/proc/kallsyms`, which is read when the first one is asked for.
package final class KernelSymbols {
  private let path: String
  private var table: Table?
  /// The text that was read, with a NUL behind it, until it is forgotten.
  private var text: [UInt8]?

  /// `path` differs in tests.
  package init(path: String = "/proc/kallsyms") { self.path = path }

  /// Forgets what was read, so that functions that have appeared since (modules, BPF programs) are found.
  package func reload() {
    table = nil
    text = nil
  }

  /// Functions known; 0 when the kernel hides its addresses from this user.
  package var count: Int { loaded.addresses.count }

  /// The frames of a kernel stack, leaf first. `address` is looked up one byte earlier, except for the leaf where
  /// `leafIsExact`. `module` is `[kernel]`, or the name of the kernel module in brackets.
  package func frames(for stack: StackTrace, leafIsExact: Bool) -> [Frame] {
    stack.addresses.enumerated().map { position, address in
      let lookup = position == 0 && leafIsExact || address == 0 ? address : address - 1
      return frame(at: address, lookup: lookup)
    }
  }

  private func frame(at address: UInt64, lookup: UInt64) -> Frame {
    var frame = Frame(address: address, module: "[kernel]")
    guard let (name, module, start) = loaded.lookup(lookup) else {
      frame.unresolved = .noSymbol
      return frame
    }
    frame.function = name
    frame.functionOffset = address &- start
    if let module { frame.module = module }
    return frame
  }

  /// Addresses of a function by its exact name, up to the next symbol; nil when there is none.
  package func range(of name: String) -> Range<UInt64>? {
    // Most often one of the kernel's own, which are in order: no table is needed to find one.
    let text = loadedText
    if let range = KernelSymbolSearch.range(of: name, in: text, maximumSize: Table.maximumFunctionSize) { return range }
    return KernelSymbolSearch.isInModule(name, text) ? loaded.range(of: Array(name.utf8)) : nil
  }

  /// Address of a variable of the kernel's own; nil where the kernel lists none.
  package func dataAddress(of name: String) -> UInt64? { KernelSymbolSearch.dataAddress(of: name, in: loadedText) }

  /// The code through which interrupts enter the kernel: frames behind it belong to what was interrupted.
  package var interruptEntries: [Range<UInt64>] {
    var ranges: [Range<UInt64>] = []
    for area in ["irqentry", "softirqentry"] {
      if let start = range(of: "__\(area)_text_start"), let end = range(of: "__\(area)_text_end"),
        start.lowerBound < end.lowerBound
      {
        ranges.append(start.lowerBound..<end.lowerBound)
      }
    }
    // Soft interrupts that run at the end of something else.
    for name in ["handle_softirqs", "__do_softirq"] {
      if let range = range(of: name) { ranges.append(range) }
    }
    return ranges
  }

  private var loadedText: [UInt8] {
    if let text { return text }
    let text = ((try? readFile(path, limit: 256 << 20)) ?? []) + [0]
    self.text = text
    return text
  }

  private var loaded: Table {
    if let table { return table }
    let table = Table(loadedText)
    text = nil
    self.table = table
    return table
  }

  private struct Table {
    var addresses: [UInt64] = []
    /// Offsets into `names`.
    private var nameOffsets: [UInt32] = []
    /// NUL-terminated names; a module's name in brackets follows its function's name after a tab.
    private var names: [UInt8] = []
    /// No function is taken to be longer than this: an address further behind belongs to something without a name.
    fileprivate static let maximumFunctionSize: UInt64 = 1 << 20

    init(_ text: [UInt8]) {
      struct Entry {
        var address: UInt64
        var name: UInt32
      }
      var entries: [Entry] = []
      text.withUnsafeBytes { buffer in
        var lines = LineReader(buffer)
        while let line = lines.next() {
          // ADDRESS TYPE NAME [\t[MODULE]]
          var address: UInt64 = 0
          var position = 0
          while position < line.count, position < 16, let digit = hexadecimalDigit(line[position]) {
            address = address << 4 | UInt64(digit)
            position += 1
          }
          guard position > 0, address != 0, line.count > position + 3,
            line[position] == UInt8(ascii: " "), line[position + 2] == UInt8(ascii: " ")
          else { continue }
          let type = line[position + 1] | 0x20
          guard type == UInt8(ascii: "t") || type == UInt8(ascii: "w") else { continue }
          entries.append(Entry(address: address, name: UInt32(truncatingIfNeeded: names.count)))
          names.append(contentsOf: UnsafeRawBufferPointer(rebasing: line[(position + 3)...]))
          names.append(0)
        }
      }
      // kallsyms is sorted but for modules. Of aliases the first one is kept, as the kernel's own lookup does.
      entries.sort { ($0.address, $0.name) < ($1.address, $1.name) }
      addresses.reserveCapacity(entries.count)
      nameOffsets.reserveCapacity(entries.count)
      for entry in entries where entry.address != addresses.last {
        addresses.append(entry.address)
        nameOffsets.append(entry.name)
      }
    }

    func range(of name: [UInt8]) -> Range<UInt64>? {
      for index in addresses.indices {
        let start = Int(nameOffsets[index])
        guard names.count - start > name.count, names[start..<(start + name.count)].elementsEqual(name),
          names[start + name.count] == 0 || names[start + name.count] == UInt8(ascii: "\t")
        else { continue }
        let end = index + 1 < addresses.count ? addresses[index + 1] : addresses[index] + Self.maximumFunctionSize
        return addresses[index]..<min(end, addresses[index] + Self.maximumFunctionSize)
      }
      return nil
    }

    func lookup(_ address: UInt64) -> (name: String, module: String?, start: UInt64)? {
      var low = 0
      var high = addresses.count
      while low < high {
        let middle = (low + high) / 2
        if addresses[middle] <= address { low = middle + 1 } else { high = middle }
      }
      guard low > 0, address - addresses[low - 1] < Self.maximumFunctionSize else { return nil }
      let start = Int(nameOffsets[low - 1])
      guard let end = names[start...].firstIndex(of: 0) else { return nil }
      let parts = names[start..<end].split(separator: UInt8(ascii: "\t"), maxSplits: 1)
      guard let name = parts.first else { return nil }
      let module = parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : nil
      return (String(decoding: name, as: UTF8.self), module, addresses[low - 1])
    }
  }
}
