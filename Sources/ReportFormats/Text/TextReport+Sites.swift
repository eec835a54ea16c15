import Quantities
import TextOutput
import TraceModel

extension TextRenderer {
  mutating func sites() {
    let shown = options.top.map { max(0, $0) } ?? report.sites.count
    let sites = report.sites.prefix(shown)
    var time = ""
    if options.timestamps {
      let (seconds, attoseconds) = report.window.duration.parts
      let end =
        report.window.startInUnixSeconds + Double(seconds) + Double(attoseconds) / 1e18
        + Double(options.secondsFromUTC)
      if let end = CivilTime(unixSeconds: end) { time = "[\(end.time)] " }
    }
    output.line("\(time)Top \(sites.count) stacks with outstanding allocations:")
    let renderer = self
    let frameLines = FrameCache { frame in Array(("\t\t" + renderer.description(of: frame) + "\n").utf8) }
    let start = output.bytes.count
    for (index, site) in sites.enumerated() {
      write(site, frameLines)
      if index == 199 { output.expectRest(since: start, done: 200, of: sites.count) }
    }
    let rest = report.sites.dropFirst(shown)
    if !rest.isEmpty {
      let bytes = rest.reduce(UInt64(0)) { $0 &+ $1.outstanding.bytes }
      let stacks = rest.count == 1 ? "1 more stack" : "\(rest.count) more stacks"
      output.line("\t\(stacks) with \(exact(bytes)) not shown")
    }
    if let beyond = report.beyondLimit {
      let stacks = beyond.sites == 1 ? "1 more stack" : "\(beyond.sites) more stacks"
      output.line("\t\(stacks) with \(ByteSize.exact(beyond.outstanding.bytes)) not shown (-T)")
    }
    if report.leftOutSites > 0 {
      let stacks = report.leftOutSites == 1 ? "1 stack" : "\(report.leftOutSites) stacks"
      output.line(
        "\t\(stacks) with \(exact(report.leftOut.bytes)) in \(blocks(report.leftOut.count)) "
          + "left out: none of a kind to be shown (--leak-kinds)")
    }
    output.line()
  }

  private mutating func write(_ site: AllocationSite, _ frameLines: FrameCache<[UInt8]>) {
    output.line(
      "\t\(site.outstanding.bytes) bytes in \(site.outstanding.count) allocations from stack\(remarks(on: site))"
    )
    for frame in site.shownFrames { output.write(frameLines[frame]) }
    if let end = Self.end(of: site.stack) { output.line("\t\t" + end) }
    kernelDetails(of: site)
    verdict(of: site)
    holders(of: site)
    freePlaces(of: site)
    growth(of: site)
    guard options.showAllocations else { return }
    for allocation in site.allocations { write(allocation) }
  }

  /// What memleak does not tell stands behind its words, so that scripts for memleak still match.
  func remarks(on site: AllocationSite) -> String {
    var remarks: [String] = []
    if let error = site.outstandingBytesStandardError {
      if isPlain { remarks.append("± \(wholeNumber(error)) bytes") }
    }
    if isPlain, let human = ByteSize.rounded(site.outstanding.bytes) { remarks.append(human) }
    remarks.append(escapedForTerminal(site.allocator))
    if site.allocationClass == .mapping { remarks.append("mapping") }
    if let cache = cacheRemark(on: site) { remarks.append(cache) }
    if report.processes.count > 1, site.kernel == nil { remarks.append("process \(site.processID)") }
    if let thread = site.threadID {
      remarks.append("thread " + (site.threadName.map { escapedForTerminal($0) + " " } ?? "") + "\(thread)")
    }
    if let age = site.oldestAge { remarks.append("oldest \(age.text)") }
    return " (" + remarks.joined(separator: ", ") + ")"
  }

  /// `function+0xoff [module] at file:line`, or address and module with the reason why there is no name.
  func description(of frame: Frame) -> String {
    var text: String
    if let function = frame.function {
      text = escapedForTerminal(
        options.fullNames ? function : options.shortenFunctionName(function))
      if !frame.isInlined, let offset = frame.functionOffset { text += "+" + hexadecimal(offset) }
    } else {
      text = hexadecimal(frame.address)
    }
    if let path = frame.module {
      let place =
        frame.function == nil ? frame.moduleOffset.map { "+" + hexadecimal($0) } ?? "" : ""
      text += " [\(module(path))\(place)]"
    } else if frame.function == nil {
      text += " [unknown]"
    }
    if frame.isInlined { text += " (inlined)" }
    if let file = frame.file {
      text += " at " + escapedForTerminal(file)
      if let line = frame.line, line > 0 { text += ":\(line)" }
    }
    if frame.function == nil, let reason = frame.unresolved { text += " (\(reason.rawValue))" }
    return text
  }
}
