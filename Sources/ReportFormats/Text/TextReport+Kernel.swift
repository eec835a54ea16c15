import Quantities
import TextOutput
import TraceModel

extension TextRenderer {
  /// What the kernel says of its own memory, beside what was traced.
  mutating func kernelMemory() {
    guard let memory = report.kernelMemory else { return }
    processes(memory.processes)
    shares(memory.shares)
    caches(memory.caches)
    for part in memory.leftOut {
      output.line(
        "Left out: \(exact(part.outstanding.bytes)) in \(blocks(part.outstanding.count)): "
          + "\(escapedForTerminal(part.reason)) (--all shows them)")
    }
    for counter in memory.counters where counter.value > 0 && Self.shownCounters.contains(counter.name) {
      output.line("Left out: \(number(counter.value)) \(escapedForTerminal(counter.description)) (--all records them)")
    }
    for finding in memory.findings { output.line("Finding: " + escapedForTerminal(finding)) }
    hooks(memory.hooks)
  }

  /// A reader may wonder where these blocks are.
  private static let shownCounters: Set<String> = ["reclaimable_blocks"]

  private mutating func processes(_ processes: [KernelSiteDetails.Share]) {
    guard !processes.isEmpty else { return }
    output.line("Processes that asked for most of it:")
    for share in processes.prefix(10) {
      output.line(
        "  " + padded(name(of: share), 28) + leftPadded(amount(share.outstanding.bytes), 12)
          + leftPadded(blocks(share.outstanding.count), 20))
    }
    let rest = processes.dropFirst(10).reduce(into: Tally()) { $0 += $1.outstanding }
    if rest.count > 0 {
      output.line("  \(processes.count - 10) more with \(exact(rest.bytes)) in \(blocks(rest.count))")
    }
    output.line()
  }

  private mutating func shares(_ all: [KernelMemorySummary.Share]) {
    let shares = all.filter { $0.isKernel && ($0.bytes > 0 || $0.change != 0) }
    guard !shares.isEmpty else { return }
    output.line("Memory of the kernel by its own count, and what of it is outstanding by the trace:")
    output.line("  " + padded("", 28) + leftPadded("NOW", 12) + leftPadded("CHANGE", 14) + leftPadded("TRACED", 14))
    for share in shares {
      let change = share.change.map { signed($0) } ?? "-"
      output.line(
        "  " + padded(escapedForTerminal(share.name), 28) + leftPadded(amount(share.bytes), 12)
          + leftPadded(change, 14) + leftPadded(share.traced.map { amount($0) } ?? "-", 14))
    }
    output.line()
  }

  private mutating func caches(_ caches: [KernelMemorySummary.CacheChange]) {
    guard !caches.isEmpty else { return }
    output.line("Slab caches that changed most:")
    output.line(
      "  " + padded("CACHE", 28) + leftPadded("ACTIVE OBJECTS", 16) + leftPadded("TRACED BLOCKS", 16)
        + leftPadded("TRACED BYTES", 16))
    for cache in caches {
      let change = cache.activeChange >= 0 ? "+\(cache.activeChange)" : "\(cache.activeChange)"
      output.line(
        "  " + padded(escapedForTerminal(cache.name), 28) + leftPadded(change, 16)
          + leftPadded(number(cache.traced.count), 16) + leftPadded(number(cache.traced.bytes), 16))
    }
    output.line()
  }

  /// By which methods the kernel's events are seen, and which are not.
  private mutating func hooks(_ hooks: [KernelMemorySummary.Hook]) {
    guard !hooks.isEmpty else { return }
    var methods: [String] = []
    for case let method? in hooks.map(\.method) where !methods.contains(method) { methods.append(method) }
    let parts = methods.map { method in
      "\(hooks.count { $0.method == method }) by \(method)"
    }
    let missing = hooks.filter { $0.method == nil }.map { escapedForTerminal($0.name) }
    output.line(
      "Probes: " + parts.joined(separator: ", ")
        + (missing.isEmpty ? "" : "; none for \(missing.joined(separator: ", "))"))
    guard options.showProbes else { return }
    for hook in hooks {
      output.line(
        "  " + padded(escapedForTerminal(hook.name), 28) + (hook.method ?? "none")
          + (hook.detail.map { " (\(escapedForTerminal($0)))" } ?? ""))
    }
  }

  // MARK: Of one site

  /// Says from which cache a site's blocks are, and who asked for them.
  mutating func kernelDetails(of site: AllocationSite) {
    for line in kernelLines(of: site) { output.line("\t\t" + line) }
  }

  mutating func kernelShares(of site: AllocationSite) {
    for line in kernelLines(of: site) { output.line("      " + line) }
  }

  private func kernelLines(of site: AllocationSite) -> [String] {
    guard let kernel = site.kernel else { return [] }
    var lines: [String] = []
    if !kernel.processes.isEmpty {
      let shown = kernel.processes.prefix(3).map { "\(name(of: $0)) \(blocks($0.outstanding.count))" }
      let rest = kernel.processes.count - shown.count
      lines.append(
        "for: " + shown.joined(separator: ", ")
          + (rest > 0 ? ", \(rest) more \(rest == 1 ? "process" : "processes")" : ""))
    }
    if let earlier = kernel.earlier {
      lines.append("\(blocks(earlier.count)) of them from before its stacks were recorded: their caller is the same")
    }
    if let doubt = kernel.doubt { lines.append("doubtful: " + escapedForTerminal(doubt)) }
    return lines
  }

  private func name(of share: KernelSiteDetails.Share) -> String {
    if share.processID == 0 { return "interrupts" }
    return "\(share.command.map { escapedForTerminal($0) } ?? "ended") (\(share.processID))"
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

  private func amount(_ bytes: UInt64) -> String { TextReport.amount(bytes) }

  private func signed(_ change: Int64) -> String {
    change == 0 ? "0" : (change > 0 ? "+" : "-") + amount(change.magnitude)
  }
}

extension TextReport {
  static func amount(_ bytes: UInt64) -> String { ByteSize.text(bytes) }

  /// Where all memory of the host is, without a trace.
  package static func whereMemoryIs(_ report: Report) -> String {
    guard let memory = report.kernelMemory else { return "" }
    let total = max(1, memory.shares.reduce(0) { $0 &+ $1.bytes })
    var text = "Memory of this host: \(amount(total))\n"
    for isKernel in [false, true] {
      text += isKernel ? "\nHeld by the kernel for itself:\n" : "\nHeld for programs and files:\n"
      for share in memory.shares where share.isKernel == isKernel {
        let tenths = (Double(share.bytes) * 1000 / Double(total)).rounded() / 10
        text += "  " + padded(escapedForTerminal(share.name), 28) + leftPadded(amount(share.bytes), 12)
        text += leftPadded("\(tenths) %", 9) + "\n"
      }
    }
    text += "\nLargest slab caches:\n"
    for use in memory.slabUse {
      text += "  " + padded(escapedForTerminal(use.name), 28) + leftPadded(amount(use.bytes), 12)
      text += leftPadded(counted(use.count, "object"), 20)
      if use.isReclaimable { text += "  reclaimable" }
      if !use.aliases.isEmpty {
        text += "  = " + use.aliases.prefix(4).map { escapedForTerminal($0) }.joined(separator: ", ")
      }
      text += "\n"
    }
    if memory.slabUse.isEmpty { text += "  (/proc/slabinfo needs root)\n" }
    text += "\nLargest users of vmalloc:\n"
    for use in memory.vmallocUse {
      text += "  " + padded(escapedForTerminal(use.name), 28) + leftPadded(amount(use.bytes), 12)
      text += leftPadded(counted(use.count, "range"), 20) + "\n"
    }
    if memory.vmallocUse.isEmpty { text += "  (/proc/vmallocinfo needs root)\n" }
    return text
  }
}

func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

func leftPadded(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(1, width - text.count)) + text
}
