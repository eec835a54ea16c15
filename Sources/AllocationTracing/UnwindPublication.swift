import TraceModel

/// The executable mappings of a process as the walker sees them.
struct UnwindPublication {
  /// Where the rules for a mapping come from.
  enum Source: Hashable {
    case table(UnwindTableStore.Identifier)
    /// Generated code and files without call-frame information: frame-pointer steps.
    case none
    /// A file whose table did not fit.
    case refused
  }

  struct Entry: Hashable {
    var start: UInt64
    var end: UInt64
    var source: Source
    /// Where in the process block 0 of the table is.
    var tableStart: UInt64
  }

  let generation: UInt32
  /// Index of the first entry in the map `lt_unwind_mappings`.
  let first: Int
  /// Ascending by address.
  let entries: [Entry]
  /// What the entries were made from, one for one.
  let mappings: [Mapping]

  /// Whether two readings of a process's mappings agree in all that matters for unwinding.
  static func areEqual(_ left: [Mapping], _ right: [Mapping]) -> Bool {
    left.lazy.filter { $0.permissions.contains(.execute) }
      .elementsEqual(right.lazy.filter { $0.permissions.contains(.execute) })
  }
}
