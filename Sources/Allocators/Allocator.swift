/// One allocator: how its library is recognized, which functions of its own it has, and how it gives memory back. Each
/// allocator has a file of its own; ``all`` lists them.
package struct Allocator: Sendable {
  /// Shown to people and read by programs, so it does not change.
  package let name: String
  /// How the names of the libraries begin that contain it.
  let libraries: [String]
  /// Whether it takes the place of the C library's allocator where it is loaded.
  let replacesCLibrary: Bool
  /// The names that it has beside those of the C library. Among them are the C functions with the prefixes that programs
  /// build it with.
  let functions: [AllocatorFunction]
  /// Functions that C does not have, without the prefix, because the allocator may be built with any.
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

  /// Every known allocator, those of the C libraries first. Where several take the place of the C library's, the first of
  /// them is taken.
  package static let all: [Allocator] = [glibc, musl, jemalloc, tcmalloc, mimalloc]

  /// An allocator that no library tells: it is linked into the program, or it is the program's own.
  package static let other = Allocator("other", libraries: [])

  // MARK: Recognition

  /// The allocator that the object at a path contains.
  package init(objectPath: String) {
    self = Allocator.all.first { $0.isHeld(byFileAt: objectPath) } ?? .other
  }

  private func isHeld(byFileAt path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    return libraries.contains { name.hasPrefix($0) }
  }

  /// The allocator that a program uses, given the files that it has mapped: one that takes the place of the C library's if
  /// there is any. nil when none of the files is an allocator's library.
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
