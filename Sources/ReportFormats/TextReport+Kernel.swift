import TraceModel

extension TextRenderer {
  /// What the kernel says of its own memory, beside what was traced.
  mutating func kernelMemory() {
    guard let memory = report.kernelMemory else { return }
    let kernel = memory.shares.filter { $0.isKernel && ($0.bytes > 0 || $0.change != nil) }
    if !kernel.isEmpty {
      output.line("Memory of the kernel by its own count:")
      for share in kernel { output.line("  " + TextReport.line(for: share)) }
      output.line()
    }
    if !memory.caches.isEmpty {
      output.line("Slab caches that changed most:")
      output.line("  " + padded("CACHE", 28) + leftPadded("ACTIVE OBJECTS", 16) + leftPadded("TRACED BLOCKS", 16) + leftPadded("TRACED BYTES", 16))
      for cache in memory.caches {
        let change = cache.activeChange >= 0 ? "+\(cache.activeChange)" : "\(cache.activeChange)"
        output.line(
          "  " + padded(escapedForTerminal(cache.name), 28) + leftPadded(change, 16)
            + leftPadded("\(cache.traced.count)", 16) + leftPadded("\(cache.traced.bytes)", 16))
      }
      output.line()
    }
    for part in memory.leftOut {
      output.line(
        "Left out: \(exactBytes(part.outstanding.bytes)) in \(blocks(part.outstanding.count)): "
          + "\(part.reason) (--all shows them)")
    }
  }

  /// Where a site's blocks are from and who asked for them.
  mutating func kernelDetails(of site: AllocationSite) {
    guard let kernel = site.kernel else { return }
    if kernel.processes.count > 0 {
      let shown = kernel.processes.prefix(3).map { share in
        let name = share.command.map { escapedForTerminal($0) } ?? "ended"
        let who = share.processID == 0 ? "the kernel itself" : "\(name) (\(share.processID))"
        return "\(who) \(blocks(share.outstanding.count))"
      }
      let rest = kernel.processes.count - shown.count
      output.line("\t\tfor: " + shown.joined(separator: ", ") + (rest > 0 ? ", \(rest) more processes" : ""))
    }
    if let doubt = kernel.doubt { output.line("\t\tdoubtful: " + escapedForTerminal(doubt)) }
  }

  /// The cache for the remarks behind a site's numbers.
  func cacheRemark(on site: AllocationSite) -> String? {
    guard let kernel = site.kernel, let cache = kernel.cache else { return nil }
    var text = "cache \(escapedForTerminal(cache))"
    if !kernel.aliases.isEmpty {
      let names = kernel.aliases.prefix(3).map { escapedForTerminal($0) }.joined(separator: ", ")
      text += " = \(names)" + (kernel.aliases.count > 3 ? " and \(kernel.aliases.count - 3) more" : "")
    }
    return kernel.isReclaimable ? text + ", reclaimable" : text
  }
}

extension TextReport {
  static func line(for share: KernelMemorySummary.Share) -> String {
    var text = padded(share.name, 28) + leftPadded(humanBytes(share.bytes) ?? "\(share.bytes) bytes", 12)
    if let change = share.change, change != 0 {
      let size = humanBytes(change.magnitude) ?? "\(change.magnitude) bytes"
      text += "  \(change > 0 ? "+" : "-")\(size)"
    }
    return text
  }

  /// Where all memory of the host is, in lines.
  package static func whereMemoryIs(_ report: Report) -> String {
    let shares = report.kernelMemory?.shares ?? []
    let total = max(1, shares.reduce(0) { $0 + $1.bytes })
    var text = "Memory of this host: \(humanBytes(total) ?? "\(total) bytes")\n"
    for isKernel in [false, true] {
      text += isKernel ? "\nHeld by the kernel for itself:\n" : "\nHeld for programs and files:\n"
      for share in shares where share.isKernel == isKernel {
        let tenths = (Double(share.bytes) * 1000 / Double(total)).rounded() / 10
        text += "  " + line(for: share) + leftPadded("\(tenths) %", 9) + "\n"
      }
    }
    return text
  }

  package static func cacheLine(name: String, aliases: [String], bytes: UInt64, active: UInt64, isReclaimable: Bool)
    -> String
  {
    var text = "  " + padded(escapedForTerminal(name), 28) + leftPadded(humanBytes(bytes) ?? "\(bytes) bytes", 12)
    text += leftPadded("\(active) objects", 20)
    if isReclaimable { text += "  reclaimable" }
    if !aliases.isEmpty { text += "  = " + aliases.prefix(4).map { escapedForTerminal($0) }.joined(separator: ", ") }
    return text + "\n"
  }

  package static func vmallocLine(name: String, bytes: UInt64, count: UInt64) -> String {
    "  " + padded(escapedForTerminal(name), 28) + leftPadded(humanBytes(bytes) ?? "\(bytes) bytes", 12)
      + leftPadded("\(count) ranges", 20) + "\n"
  }
}

func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

func leftPadded(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(1, width - text.count)) + text
}
