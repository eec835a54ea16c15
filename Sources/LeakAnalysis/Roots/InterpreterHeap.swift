import ProcessImage
import Runtimes
import TraceModel

/// Memory that a language runtime manages by itself, found by how the runtime lays it out. Native blocks that only
/// objects in there refer to live as long as these do, which is not up to the native code.
package struct InterpreterHeap: Sendable {
  package var range: Range<UInt64>
  /// What it is called, for people.
  package var name: String
}

extension InterpreterHeap {
  /// Searches the anonymous memory of a process whose modules have an interpreter in them. Nothing need stand still: what
  /// is not found is memory like any other.
  static func find(
    mappings: [Mapping], modules: [ModuleImage], memory: some ScannableMemory
  ) -> [InterpreterHeap] {
    let names = modules.map { String($0.path.split(separator: "/").last ?? "") }
    var found: [InterpreterHeap] = []
    for layout in HeapLayout.present(inFilesNamed: names) {
      for mapping in mappings where isCandidate(mapping) { find(layout, in: mapping, memory, &found) }
    }
    return found
  }

  private static func isCandidate(_ mapping: Mapping) -> Bool {
    mapping.inode == 0 && mapping.permissions.isSuperset(of: [.read, .write])
      && !mapping.permissions.contains(.shared) && !["[heap]", "[stack]"].contains(mapping.path)
  }

  /// Adds the units in a mapping. Only pages with content are looked at.
  private static func find(
    _ layout: HeapLayout, in mapping: Mapping, _ memory: some ScannableMemory, _ found: inout [InterpreterHeap]
  ) {
    let alignment = layout.alignment
    var address = (mapping.start + alignment - 1) & ~(alignment - 1)
    while address < mapping.end {
      guard let resident = memory.nextResident(in: address..<mapping.end) else { return }
      if resident.lowerBound > address {
        address = (resident.lowerBound + alignment - 1) & ~(alignment - 1)
        if address >= resident.upperBound { continue }
      }
      let words = memory.words(at: address, count: layout.headerWords)
      if words.count == layout.headerWords, let size = layout.size(address, words, memory) {
        let end = min(address + size, mapping.end)
        if let last = found.last, last.name == layout.name, last.range.upperBound == address {
          found[found.count - 1].range = last.range.lowerBound..<end
        } else {
          found.append(InterpreterHeap(range: address..<end, name: layout.name))
        }
        address = (end + alignment - 1) & ~(alignment - 1)
      } else {
        address += alignment
      }
    }
  }
}
