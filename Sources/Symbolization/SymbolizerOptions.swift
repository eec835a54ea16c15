/// What a symbolizer looks for.
package struct SymbolizerOptions: Sendable {
  /// Directories with separate debug files, as `/usr/lib/debug`.
  package var debugDirectories: [String]
  /// Whether to read DWARF for source lines and inlined functions. Costs time and memory where debug information is large.
  package var linesAndInlines: Bool
  /// Whether names are shown as the programmer wrote them, not as the linker knows them.
  package var demangle: Bool

  package init(
    debugDirectories: [String] = ["/usr/lib/debug"], linesAndInlines: Bool = true,
    demangle: Bool = true
  ) {
    self.debugDirectories = debugDirectories
    self.linesAndInlines = linesAndInlines
    self.demangle = demangle
  }
}
