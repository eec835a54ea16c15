import TraceModel

/// What makes a call stack the same in another run or another build: names, not addresses or lines.
package struct SiteSignature: Hashable, Sendable {
  private var parts: [String]

  package init(_ site: AllocationSite) {
    parts = [site.allocationClass.rawValue, site.allocator, site.kernel?.cache ?? "", site.threadName ?? ""]
    if site.frames.isEmpty {
      parts += site.stack.addresses.map { String($0, radix: 16) }
    } else {
      parts += site.frames.map(Self.name)
    }
  }

  /// Without the path of the module, which an update can change, and without the offset, which any build changes. Where
  /// there is no name the offset is all there is.
  static func name(of frame: Frame) -> String {
    let module = frame.module?.split(separator: "/").last.map(String.init) ?? "?"
    if let function = frame.function { return function + "\u{0}" + Self.withoutVersion(module) }
    return module + "+" + String(frame.moduleOffset ?? frame.address, radix: 16)
  }

  /// `libssl.so.3` and `libssl.so.3.0.1` are one.
  private static func withoutVersion(_ module: String) -> String {
    guard let range = module.firstRange(of: ".so") else { return module }
    return String(module[..<range.upperBound])
  }
}
