import ProcessImage

/// Memory of which large parts may never have been touched.
package protocol ScannableMemory: MemoryReader, Sendable {
  /// The first stretch inside `range` that may hold anything but zeros, cut to the range; nil when there is none.
  /// What lies between is not read at all: reading would make the process allocate page tables, and terabytes that a
  /// program reserved would take hours.
  func nextResident(in range: Range<UInt64>) -> Range<UInt64>?
}

extension ScannableMemory {
  package func nextResident(in range: Range<UInt64>) -> Range<UInt64>? { range.isEmpty ? nil : range }
}
