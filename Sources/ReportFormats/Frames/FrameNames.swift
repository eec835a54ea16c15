import TextOutput
import TraceModel

extension Frame {
  /// A frame's name for tools that show one text only: the function, else module and offset, else the address.
  var plainName: String {
    if let function { return function }
    let name = module.map { $0.split(separator: "/").last.map(String.init) ?? $0 }
    guard let name else { return hexadecimal(address) }
    return name + "+" + hexadecimal(moduleOffset ?? address)
  }
}

/// Outstanding bytes and blocks by whole stack, sites of the same names added up.
struct NamedStacks {
  struct Entry {
    /// Leaf first; positions in `names`.
    var path: [Int]
    var outstanding: Tally
  }
  private(set) var names: [String] = []
  private(set) var entries: [Entry] = []

  /// - Parameter written: a name as the format takes it.
  init(_ report: Report, written: @escaping (String) -> String) {
    var positions: [[Int]: Int] = [:]
    var ids: [String: Int] = [:]
    var names: [String] = []
    func id(_ name: String) -> Int {
      if let known = ids[name] { return known }
      ids[name] = names.count
      names.append(name)
      return names.count - 1
    }
    let frameIDs = FrameCache { id(written($0.plainName)) }
    let commands = Dictionary(
      report.processes.map { ($0.processID, $0.command) }, uniquingKeysWith: { first, _ in first })
    for site in report.sites where site.outstanding.bytes > 0 || site.outstanding.count > 0 {
      var path = site.shownFrames.map { frameIDs[$0] }
      if path.isEmpty { path = [id("[no stack]")] }
      if site.stack.completeness == .broken || site.stack.completeness == .truncated {
        path.append(id("[callers unknown]"))
      }
      if let cache = site.kernel?.cache { path.insert(id(written("[\(cache)]")), at: 0) }
      if report.processes.count > 1 {
        path.append(id(written("\(commands[site.processID] ?? "process") (\(site.processID))")))
      }
      if let known = positions[path] {
        entries[known].outstanding += site.outstanding
      } else {
        positions[path] = entries.count
        entries.append(Entry(path: path, outstanding: site.outstanding))
      }
    }
    self.names = names
  }
}
