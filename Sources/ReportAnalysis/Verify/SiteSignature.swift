import TraceModel

/// What makes a call stack the same in another run or another build: names, not addresses or lines.
package struct SiteSignature: Hashable, Comparable, Sendable {
  private var parts: [String]
  /// How many parts stand before the frames.
  private static let heading = 4

  /// How many frames it has.
  var count: Int { parts.count - Self.heading }

  package init(_ site: AllocationSite) {
    parts = [site.allocationClass.rawValue, site.allocator, site.kernel?.cache ?? "", site.threadName ?? ""]
    if site.frames.isEmpty {
      parts += site.stack.addresses.map { String($0, radix: 16) }
    } else {
      parts += site.frames.map(Self.name)
    }
  }

  package static func < (first: SiteSignature, second: SiteSignature) -> Bool {
    first.parts.lexicographicallyPrecedes(second.parts)
  }

  /// What all variants of a stack have in common beside frames.
  var kind: [String] { [parts[0]] + parts[2..<Self.heading] }

  var frames: ArraySlice<String> { parts[Self.heading...] }

  /// Without the path of the module, which an update can change, and without the offset, which any build changes. Where
  /// there is no name the offset is all there is.
  static func name(of frame: Frame) -> String {
    let module = frame.module?.split(separator: "/").last.map(String.init) ?? "?"
    if let function = frame.function { return Self.plain(function) + "\u{0}" + Self.withoutVersion(module) }
    return module + "+" + String(frame.moduleOffset ?? frame.address, radix: 16)
  }

  /// `libssl.so.3` and `libssl.so.3.0.1` are one.
  private static func withoutVersion(_ module: String) -> String {
    guard let range = module.firstRange(of: ".so") else { return module }
    return String(module[..<range.upperBound])
  }

  /// Without what compilers add to the names of parts and copies of a function: another build may make others.
  private static func plain(_ function: String) -> String {
    // Most names have none of it, and looking for each takes long.
    guard
      function.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "[") })
        || function.utf8.suffix(19).starts(with: "::h".utf8)
    else { return function }
    var name = function[...]
    if let clone = name.firstRange(of: " [clone ") { name = name[..<clone.lowerBound] }
    for suffix in [".constprop.", ".isra.", ".part.", ".cold", ".llvm.", ".lto_priv."] {
      if let range = name.firstRange(of: suffix), range.lowerBound > name.startIndex {
        name = name[..<range.lowerBound]
      }
    }
    // Rust: `module::function::h0123456789abcdef`.
    if let range = name.firstRange(of: "::h"), name[range.upperBound...].count == 16,
      name[range.upperBound...].allSatisfy(\.isHexDigit)
    {
      name = name[..<range.lowerBound]
    }
    return String(name)
  }

  /// Whether both are of one kind of memory, and one has the other's frames in their order with more between them or at its
  /// leaf: so look the stacks of one place where functions are inlined otherwise, or where the memory is asked for through a
  /// library instead.
  func isVariant(of other: SiteSignature) -> Bool {
    guard parts[0] == other.parts[0], parts[2...3] == other.parts[2...3] else { return false }
    let (own, others) = (parts.dropFirst(Self.heading), other.parts.dropFirst(Self.heading))
    let (short, long) = own.count <= others.count ? (own, others) : (others, own)
    // What all stacks of a program have in common, such as main, says nothing.
    guard short.count >= 2, long.count - short.count <= max(8, short.count) else { return false }
    var rest = long
    for name in short {
      guard let place = rest.firstIndex(of: name) else { return false }
      rest = rest[(place + 1)...]
    }
    return true
  }
}
