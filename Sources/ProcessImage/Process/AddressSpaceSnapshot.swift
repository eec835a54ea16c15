import TraceModel

/// The executable mappings of a process at one moment.
package struct AddressSpaceSnapshot: Equatable, Sendable {
  package struct Area: Equatable, Sendable {
    package var mapping: Mapping
    /// Tells apart areas that show different things, even if they are at the same addresses. 0 where the kernel gives
    /// no number.
    package var identity: UInt64

    package init(mapping: Mapping, identity: UInt64 = 0) {
      self.mapping = mapping
      self.identity = identity
    }

    /// Whether the other area shows the same bytes at the same addresses.
    package func hasSameCode(as other: Area) -> Bool {
      mapping.start == other.mapping.start && mapping.end == other.mapping.end
        && mapping.fileOffset == other.mapping.fileOffset && mapping.device == other.mapping.device
        && mapping.inode == other.mapping.inode && identity == other.identity
    }
  }

  /// Ascending by address.
  package var areas: [Area]
  /// Whether no area is missing. Areas that changed while they were read are left out.
  package var isWhole = true

  package init(areas: [Area] = []) { self.areas = areas }

  /// Takes the executable ones of a process's mappings. The areas have no identities.
  package init(mappings: [Mapping]) {
    areas = mappings.filter { $0.permissions.contains(.execute) }.map { Area(mapping: $0) }
  }

  /// Whether all code of an older snapshot is still where it was. Memory that a program fills with code itself does not
  /// count: it comes and goes, and has no name.
  package func keepsCode(of older: AddressSpaceSnapshot) -> Bool {
    var index = 0
    for area in older.areas where !area.mapping.path.isEmpty {
      while index < areas.count, areas[index].mapping.start < area.mapping.start { index += 1 }
      guard index < areas.count, areas[index].hasSameCode(as: area) else { return false }
    }
    return true
  }
}
