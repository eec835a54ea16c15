import TraceModel

/// One rule of a suppressions file: which leaks are known and not to be reported.
package struct Suppression: Hashable, Sendable {
  /// LeakSanitizer's template, or the name of a Valgrind entry.
  package var name: String
  var rule: Rule

  enum Rule: Hashable, Sendable {
    /// Matches when the module, function or file of any frame does.
    case template(NameTemplate)
    /// Matches when the frames do, from the leaf on, and the kind is one of these.
    case stack([FramePattern], kinds: Set<VerdictKind>)
  }

  /// One line of a Valgrind entry.
  enum FramePattern: Hashable, Sendable {
    /// `...`: any number of frames.
    case ellipsis
    case function(WildcardPattern)
    case object(WildcardPattern)
    case source(WildcardPattern, line: Int?)
  }

  package func matches(_ site: AllocationSite, kind: VerdictKind) -> Bool {
    switch rule {
    case .template(let template):
      return template.matches(site.allocator)
        || site.frames.contains { frame in
          [frame.module, frame.function, frame.file].contains { $0.map(template.matches) ?? false }
        }
    case .stack(let patterns, let kinds):
      guard kinds.contains(kind) else { return false }
      // Valgrind replaces the allocator, which then is the leaf of the stack; ours begins with its caller.
      let allocator = Frame(address: 0, function: site.allocator)
      if Self.match(patterns[...], [allocator] + site.frames[...]) { return true }
      // It replaces `operator new` too, which here is another function that calls malloc.
      let start = site.frames.firstIndex { !$0.isOperatorNew } ?? 0
      return (0..<start).contains { Self.match(patterns[...], site.frames[$0...]) }
    }
  }

  /// Whether patterns match the first frames; further frames do not matter.
  private static func match(_ patterns: ArraySlice<FramePattern>, _ frames: ArraySlice<Frame>) -> Bool {
    var place = patterns.startIndex
    var position = frames.startIndex
    var ellipsis: (place: Int, position: Int)?
    while place < patterns.endIndex {
      if patterns[place] == .ellipsis {
        ellipsis = (place, position)
        place += 1
      } else if position < frames.endIndex, patterns[place].matches(frames[position]) {
        place += 1
        position += 1
      } else if let last = ellipsis, last.position < frames.endIndex {
        ellipsis = (last.place, last.position + 1)
        place = last.place + 1
        position = last.position + 1
      } else {
        return false
      }
    }
    return true
  }
}

extension Suppression.FramePattern {
  fileprivate func matches(_ frame: Frame) -> Bool {
    switch self {
    case .ellipsis: return true
    case .function(let pattern):
      guard let function = frame.function else { return pattern.matches("???") }
      // Valgrind compares the linker's names.
      let name = frame.linkageName ?? function
      // GNU's `operator new[]` jumps to `operator new` and leaves no frame of its own.
      if frame.isOperatorNew, name.hasPrefix("_Znw"), pattern.matches("_Zna" + name.dropFirst(4)) { return true }
      return pattern.matches(name) || pattern.matches(function)
        || Self.namesBelowMain.contains(function) && pattern.matches("(below main)")
    case .object(let pattern):
      // The allocator itself: under Valgrind it is in a library of Valgrind's.
      if frame.address == 0 { return pattern.matches("vgpreload_memcheck-amd64-linux.so") || pattern.matches("") }
      return pattern.matches(frame.module ?? "???")
    case .source(let pattern, let line):
      guard let file = frame.file, line == nil || line == frame.line else { return false }
      let name = file.split(separator: "/").last.map(String.init) ?? file
      return pattern.matches(file) || pattern.matches(name)
    }
  }

  private static let namesBelowMain: Set<String> = [
    "__libc_start_main", "__libc_start_main_impl", "__libc_start_call_main", "_start",
  ]
}

extension Frame {
  /// Whether it is one of C++'s `operator new`.
  var isOperatorNew: Bool {
    guard let name = linkageName ?? function else { return false }
    return name.hasPrefix("_Znw") || name.hasPrefix("_Zna") || name.hasPrefix("operator new")
  }
}
