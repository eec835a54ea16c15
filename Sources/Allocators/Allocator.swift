/// One allocator: how its library is recognized, which functions it has of its own, and how it gives memory back. Each
/// stands in a file of its own; ``all`` lists them.
package struct Allocator: Sendable {
  /// For people and for machines: stable.
  package let name: String
  /// Beginnings of the names of the libraries that hold it.
  let libraries: [String]
  /// Whether it takes the place of the C library's where it is loaded.
  let replacesCLibrary: Bool
  /// Names that it has beside those of the C library, with those of C under the prefixes that programs build it with.
  let functions: [AllocatorFunction]
  /// Functions that it has under any prefix that it may be built with, without the prefix.
  let extensions: [AllocatorFunction]
  /// How its free memory goes back to the kernel; nil when nothing can be done about that.
  package let advice: String?

  init(
    _ name: String, libraries: [String], replacesCLibrary: Bool = true, functions: [AllocatorFunction] = [],
    extensions: [AllocatorFunction] = [], advice: String? = nil
  ) {
    self.name = name
    self.libraries = libraries
    self.replacesCLibrary = replacesCLibrary
    self.functions = functions
    self.extensions = extensions
    self.advice = advice
  }

  /// Every allocator there is, the C libraries' first. Of several that take the C library's place the first is taken.
  package static let all: [Allocator] = [glibc, musl, jemalloc, tcmalloc, mimalloc]

  /// One that is not known by its library: it is linked into the program, or is the program's own.
  package static let other = Allocator("other", libraries: [])

  // MARK: Recognition

  /// By the path of the object that holds it.
  package init(objectPath: String) {
    self = Allocator.all.first { $0.isHeld(byFileAt: objectPath) } ?? .other
  }

  private func isHeld(byFileAt path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    return libraries.contains { name.hasPrefix($0) }
  }

  /// The allocator that a program uses which has mapped these files: another than the C library's goes before it. nil
  /// where none of them is an allocator's library.
  package static func inUse(mappedPaths: some Collection<String>) -> Allocator? {
    let present = all.filter { allocator in mappedPaths.contains { allocator.isHeld(byFileAt: $0) } }
    return present.first { $0.replacesCLibrary } ?? present.first
  }
}

extension Allocator: Hashable {
  package static func == (left: Allocator, right: Allocator) -> Bool { left.name == right.name }
  package func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

extension AllocatorFunction {
  /// The same function under another name.
  func renamed(_ name: String, dropping traits: Traits = []) -> AllocatorFunction {
    AllocatorFunction(name, kind, self.traits.subtracting(traits))
  }
}
