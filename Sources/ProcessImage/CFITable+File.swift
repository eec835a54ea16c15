extension CFITable {
  /// Converts a file's `.eh_frame`.
  ///
  /// - Throws: ``CFIError``; `empty` also when the file has no such section or no executable segment.
  package init(file: ElfFile, limits: CFIConverter.Limits = CFIConverter.Limits()) throws(CFIError) {
    let executable = file.loadSegments.filter(\.isExecutable)
    guard let section = file.section(named: ".eh_frame"), let contents = file.contents(of: section),
      let start = executable.map(\.virtualAddress).min(),
      let end = executable.map({ Self.end(of: $0) }).max(), start < end
    else { throw .empty }
    self = try CFIConverter.convert(
      ehFrame: contents, sectionAddress: section.address, executableRange: start..<end,
      limits: limits)
  }

  private static func end(of segment: ElfFile.LoadSegment) -> UInt64 {
    let (end, overflow) = segment.virtualAddress.addingReportingOverflow(segment.memorySize)
    return overflow ? .max : end
  }
}
