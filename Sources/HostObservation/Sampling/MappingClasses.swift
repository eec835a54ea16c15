/// What a process's memory is for, by mapping: from /proc/PID/smaps, which the kernel takes long to write for large
/// processes, so it is read only of those that are of interest.
package struct MappingClasses: Hashable, Sendable {
  package enum Class: String, CaseIterable, Hashable, Sendable {
    case heap
    case anonymous
    case stack
    case file
    case sharedMemory = "shared memory"
    case tmpfs
  }

  /// Bytes of one class.
  package struct Sizes: Hashable, Sendable {
    package var resident: UInt64 = 0
    /// The bytes of the class with each page divided by the number of processes that share it (PSS).
    package var proportional: UInt64 = 0
    package var swap: UInt64 = 0
    package var mappings = 0
    package init() {}
  }

  package private(set) var sizes: [Class: Sizes] = [:]

  package subscript(kind: Class) -> Sizes { sizes[kind] ?? Sizes() }

  package var proportional: UInt64 { sizes.values.reduce(0) { $0 &+ $1.proportional } }

  package init(smaps: Bytes) {
    var reader = Reader()
    reader.read(smaps)
    self = reader.classes
  }

  /// Adds up what comes in pieces of whole lines.
  package struct Reader {
    private var table = [Sizes](repeating: Sizes(), count: Class.allCases.count)
    /// The class of the mapping that the last line was about.
    private var current = 1

    package init() {}

    package var classes: MappingClasses {
      var classes = MappingClasses()
      for (index, kind) in Class.allCases.enumerated() where table[index].mappings > 0 {
        classes.sizes[kind] = table[index]
      }
      return classes
    }

    package mutating func read(_ text: Bytes) { ProcText.forEachLine(text) { note($0) } }

    private mutating func note(_ line: Bytes) {
      // A mapping begins with its address in lower-case hexadecimal, a field with a capital letter.
      if line[0] < 0x41 || line[0] > 0x5a {
        current = MappingClasses.index(ofMapping: line)
        table[current].mappings += 1
        return
      }
      guard line.count > 5, line[3] == 0x3a || (line[0] == 0x53 && line[4] == 0x3a) else { return }
      var place = line[3] == 0x3a ? 4 : 5
      while place < line.count, line[place] == 0x20 { place += 1 }
      guard let value = ProcText.number(line, &place) else { return }
      if ProcText.hasPrefix(line, "Rss:") {
        table[current].resident &+= value.kibibytes
      } else if ProcText.hasPrefix(line, "Pss:") {
        table[current].proportional &+= value.kibibytes
      } else if ProcText.hasPrefix(line, "Swap:") {
        table[current].swap &+= value.kibibytes
      }
    }
  }

  private init() {}

  /// Index in `Class.allCases` of the class of the mapping that a line of smaps begins.
  private static func index(ofMapping line: Bytes) -> Int {
    // START-END PERMISSIONS OFFSET DEVICE INODE PATH
    var place = 0
    var permissions = 0
    for field in 0..<5 {
      while place < line.count, line[place] != 0x20 { place += 1 }
      while place < line.count, line[place] == 0x20 { place += 1 }
      if field == 0 { permissions = place }
    }
    let path = Bytes(rebasing: line[place...])
    let isShared = permissions + 3 < line.count && line[permissions + 3] == 0x73
    func index(_ kind: Class) -> Int { Class.allCases.firstIndex(of: kind)! }
    if path.isEmpty { return index(.anonymous) }
    if ProcText.hasPrefix(path, "[heap]") { return index(.heap) }
    if ProcText.hasPrefix(path, "[stack") { return index(.stack) }
    if path[0] == 0x5b { return index(.anonymous) }
    if ProcText.hasPrefix(path, "/SYSV") || ProcText.hasPrefix(path, "/dev/zero")
      || ProcText.hasPrefix(path, "/memfd:")
    {
      return index(.sharedMemory)
    }
    if ProcText.hasPrefix(path, "/dev/shm/") || ProcText.hasPrefix(path, "/run/") {
      return index(isShared ? .sharedMemory : .tmpfs)
    }
    return index(.file)
  }
}
