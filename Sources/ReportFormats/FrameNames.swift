import TraceModel

extension Frame {
  /// One name for tools that show nothing else: the function, or module and offset, or the address.
  var plainName: String {
    if let function { return function }
    let name = module.map { $0.split(separator: "/").last.map(String.init) ?? $0 }
    guard let name else { return hexadecimal(address) }
    return name + "+" + hexadecimal(moduleOffset ?? address)
  }
}

/// A name on one line: unsafe characters escaped, and those that mean something in the format replaced.
func singleLine(_ name: String, replacing special: [Character: Character] = [:]) -> String {
  let escaped = escapedForTerminal(name)
  guard !special.isEmpty, escaped.contains(where: { special[$0] != nil }) else { return escaped }
  return String(escaped.map { special[$0] ?? $0 })
}

/// Outstanding bytes and blocks by whole stack, sites of the same names added up.
struct NamedStacks {
  struct Entry {
    /// Leaf first.
    var names: [String]
    var outstanding: Tally
  }
  private(set) var entries: [Entry] = []

  /// - Parameter special: characters that the format needs for itself, and what stands in for them.
  init(_ report: Report, replacing special: [Character: Character]) {
    var positions: [[String]: Int] = [:]
    let commands = Dictionary(report.processes.map { ($0.processID, $0.command) }, uniquingKeysWith: { first, _ in first })
    for site in report.sites where site.outstanding.bytes > 0 || site.outstanding.count > 0 {
      var names = site.shownFrames.map { singleLine($0.plainName, replacing: special) }
      if names.isEmpty { names = ["[no stack]"] }
      if site.stack.completeness == .broken || site.stack.completeness == .truncated { names.append("[callers unknown]") }
      if let cache = site.kernel?.cache { names.insert(singleLine("[\(cache)]", replacing: special), at: 0) }
      if report.processes.count > 1 {
        names.append(singleLine("\(commands[site.processID] ?? "process") (\(site.processID))", replacing: special))
      }
      if let known = positions[names] {
        entries[known].outstanding += site.outstanding
      } else {
        positions[names] = entries.count
        entries.append(Entry(names: names, outstanding: site.outstanding))
      }
    }
  }
}
