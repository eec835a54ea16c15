import ProcessImage

/// How the memory is recognized in which a language runtime keeps its objects. It consists of units, such as pages or
/// chunks.
package struct HeapLayout: Sendable {
  /// What such memory is called, for people.
  package let name: String
  /// Parts of names of executables and libraries that have this runtime in them.
  package let modules: [String]
  /// Units begin at multiples of this many bytes.
  package let alignment: UInt64
  /// How many words at the start of a unit `size` looks at.
  package let headerWords: Int
  /// The size in bytes of the unit at an address, judged by its first words; nil when there is no unit.
  package let size: @Sendable (_ address: UInt64, _ words: [UInt64], _ memory: any MemoryReader) -> UInt64?

  init(
    name: String, modules: [String], alignment: UInt64, headerWords: Int,
    size: @escaping @Sendable (_ address: UInt64, _ words: [UInt64], _ memory: any MemoryReader) -> UInt64?
  ) {
    self.name = name
    self.modules = modules
    self.alignment = alignment
    self.headerWords = headerWords
    self.size = size
  }

  /// The layouts of all runtimes that files of these names contain. There are several where a program embeds interpreters.
  package static func present(inFilesNamed names: [String]) -> [HeapLayout] {
    var seen: Set<String> = []
    return Runtime.all.compactMap(\.heap).filter { layout in
      seen.insert(layout.name).inserted
        && names.contains { name in layout.modules.contains { name.contains($0) } }
    }
  }
}
