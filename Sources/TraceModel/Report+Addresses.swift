extension Report {
  /// The same report without the addresses of the traced process, which would tell whoever gets it where the process's
  /// memory lies. A frame keeps its place in its module's file in their stead, so that it can still be named later. What
  /// is about single blocks is left out.
  package var withoutAddresses: Report {
    var report = self
    report.explanations = []
    report.sites = sites.map { site in
      var site = site
      site.allocations = []
      site.frames = site.frames.map { frame in
        var frame = frame
        frame.address = frame.moduleOffset ?? 0
        return frame
      }
      site.stack.addresses = site.frames.filter { !$0.isInlined }.map(\.address)
      return site
    }
    return report
  }
}
