import TraceModel

/// Writes an entry for a suppressions file that matches the leaks of a site.
package enum SuppressionWriter {
  /// Valgrind cuts stacks at 12 frames by default, and a rule with more frames than a stack does not match it.
  private static let maximumFrames = 10

  /// An entry in Valgrind's syntax, good for both tools.
  package static func valgrind(_ site: AllocationSite, kinds: Set<VerdictKind>) -> String {
    let found = VerdictKind.checked.filter { kinds.contains($0) && (site.verdicts[$0]?.count ?? 0) > 0 }
    let place = plain(ownFunction(of: site).map(String.init) ?? site.frames.lazy.compactMap(\.module).first ?? "?")
    var lines = ["{", "   leak in " + place, "   Memcheck:Leak"]
    if !found.isEmpty { lines.append("   match-leak-kinds: " + found.map(\.optionName).joined(separator: ",")) }
    lines += frames(of: site).map { "   " + $0 } + ["}"]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func frames(of site: AllocationSite) -> [String] {
    var lines: [String] = []
    var frames = site.frames[...]
    if let last = frames.prefix(while: { $0.isOperatorNew }).last {
      // Valgrind's stack begins there: it replaces these functions as well as malloc, and not one by way of the other.
      frames = frames.dropFirst(frames.prefix(while: { $0.isOperatorNew }).count)
      // `operator new[]` may have left no frame: `_Zn?m` is both.
      let name = last.linkageName ?? "*"
      lines.append("fun:" + (name.hasPrefix("_Znw") ? "_Zn?" + plain(String(name.dropFirst(4))) : plain(name)))
    } else if ["malloc", "calloc", "realloc"].contains(site.allocator) {
      lines.append("fun:" + site.allocator)
    } else {
      // Functions that Valgrind does not replace call one that it does.
      lines.append("...")
    }
    var count = lines.count
    for frame in frames {
      if isBelowMain(frame) { break }
      if count == maximumFrames { break }
      let line = line(for: frame)
      if line == "...", lines.last == "..." { continue }
      lines.append(line)
      count += 1
      if frame.function == "main" { break }
    }
    while lines.count > 1, lines.last == "..." { lines.removeLast() }
    return lines
  }

  private static func line(for frame: Frame) -> String {
    // Compilers name inlined functions differently for different readers, and Valgrind can leave them out.
    if frame.isInlined { return "..." }
    if let name = frame.linkageName ?? frame.function { return "fun:" + plain(name) }
    if let module = frame.module, module.hasPrefix("/") { return "obj:" + plain(module) }
    return "..."
  }

  private static func isBelowMain(_ frame: Frame) -> Bool {
    ["__libc_start_main", "__libc_start_call_main", "_start", "start_thread", "clone", "clone3"].contains(
      frame.function ?? "")
  }

  /// A line in LeakSanitizer's syntax, or two: the innermost function of the program itself.
  package static func lsan(_ site: AllocationSite) -> String {
    if let name = ownFunction(of: site) {
      // Symbolizers differ in what they write before and behind a template's name.
      let frame = site.frames.first { $0.function?.hasPrefix(name) == true }
      let next = frame?.function?.dropFirst(name.count).first
      let isPlain = next == nil || next == "("
      // Of functions that only their own file knows, debug information has the name without parameters.
      let isLocal = next == "(" && frame?.linkageName?.hasPrefix("_ZL") == true
      let line = "leak:" + (isPlain ? "^" : "") + template(name)
      return (isLocal ? line + "$\n" : "") + line + (next == nil ? "$" : isPlain ? "(" : "") + "\n"
    }
    let module = site.frames.lazy.compactMap(\.module).first ?? site.allocator
    return "leak:" + template(module[...]) + "\n"
  }

  /// The name of the innermost function that is the program's own and was not inlined, up to its parameters, which
  /// symbolizers write differently.
  private static func ownFunction(of site: AllocationSite) -> Substring? {
    let named = site.frames.filter { $0.function != nil && !$0.isInlined }
    guard let function = (named.first { !isLibraryFrame($0) } ?? named.first)?.function else { return nil }
    let name = function.prefix { $0 != "(" && $0 != "<" && $0 != "[" }
    return name.isEmpty ? function[...] : name
  }

  private static func isLibraryFrame(_ frame: Frame) -> Bool {
    let name = frame.function ?? ""
    if name.hasPrefix("std::") || name.hasPrefix("__gnu_cxx::") || frame.isOperatorNew { return true }
    let module = frame.module?.split(separator: "/").last ?? ""
    return ["libc.so", "libc-", "libstdc++", "libc++", "ld-linux", "ld-musl"].contains { module.hasPrefix($0) }
  }

  /// A name on one line.
  private static func plain(_ name: String) -> String {
    String(String.UnicodeScalarView(name.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? "?" : $0 }))
  }

  /// A name in which nothing is taken for a mark of the template.
  private static func template(_ name: Substring) -> String {
    String(String.UnicodeScalarView(name.unicodeScalars.map { $0 == "$" || $0 == "^" || $0.value < 0x20 ? "*" : $0 }))
  }
}
