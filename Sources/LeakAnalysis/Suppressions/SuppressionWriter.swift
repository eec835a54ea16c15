import TraceModel

/// Writes an entry for a suppressions file that matches the leaks of a site.
package enum SuppressionWriter {
  /// Valgrind cuts stacks at 12 frames by default, and a rule with more frames than a stack does not match it.
  private static let maximumFrames = 10

  /// An entry in Valgrind's syntax, good for both tools.
  package static func valgrind(_ site: AllocationSite, kinds: Set<VerdictKind>) -> String {
    let names: [(VerdictKind, String)] = [
      (.definitelyLost, "definite"), (.indirectlyLost, "indirect"), (.possiblyLost, "possible"),
      (.stillReachable, "reachable"),
    ]
    let found = names.filter { kinds.contains($0.0) && (site.verdicts[$0.0]?.count ?? 0) > 0 }.map(\.1)
    var lines = ["{", "   <insert_a_suppression_name_here>", "   Memcheck:Leak"]
    if !found.isEmpty { lines.append("   match-leak-kinds: " + found.joined(separator: ",")) }
    lines += frames(of: site).map { "   " + $0 } + ["}"]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func frames(of site: AllocationSite) -> [String] {
    var lines: [String] = []
    var frames = site.frames[...]
    if let last = frames.prefix(while: { $0.isOperatorNew }).last {
      // Valgrind's stack begins there: it replaces these functions as well as malloc, and not one by way of the other.
      frames = frames.dropFirst(frames.prefix(while: { $0.isOperatorNew }).count)
      lines.append("fun:" + plain(last.linkageName ?? "*"))
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

  /// A line in LeakSanitizer's syntax: the innermost function of the program itself.
  package static func lsan(_ site: AllocationSite) -> String {
    let named = site.frames.filter { $0.function != nil }
    if let own = named.first(where: { !isLibraryFrame($0) }) ?? named.first, let function = own.function {
      // The part before the parameters, which symbolizers write differently.
      let name = function.prefix { $0 != "(" && $0 != "<" && $0 != "[" }
      return "leak:" + template(name.isEmpty ? function[...] : name) + "\n"
    }
    let module = site.frames.lazy.compactMap(\.module).first ?? site.allocator
    return "leak:" + template(module[...]) + "\n"
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
