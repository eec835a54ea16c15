import ProcessImage

/// The executable mappings of a process as the walker sees them.
struct UnwindPublication {
  /// Where the rules for a mapping come from.
  enum Source: Hashable {
    case table(UnwindTableStore.Identifier)
    /// No table, for generated code and files without call-frame information: walks follow the frame pointer.
    case none
    /// A file whose table did not fit.
    case refused
  }

  struct Entry: Hashable {
    var start: UInt64
    var end: UInt64
    var source: Source
    /// Address in the process at which block 0 of the table lies.
    var tableStart: UInt64
  }

  let generation: UInt32
  /// Index of the first entry in the map `lt_unwind_mappings`.
  let first: Int
  /// Ascending by address.
  let entries: [Entry]
  /// The areas that the entries were made from, in the same order.
  let areas: [AddressSpaceSnapshot.Area]
  /// The identifier that it was given when it was published.
  var addressSpace: UInt64 = 0

  /// Index of the entry that covers an address.
  func index(at address: UInt64) -> Int? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low < entries.count && entries[low].start <= address ? low : nil
  }
}
