import ReportAnalysis
import TextOutput
import TraceModel

/// How the text report is laid out.
package struct TextOptions: Sendable {
  /// How many sites are shown, largest first; nil for all.
  package var top: Int?
  /// Whether there is a list of sites at all.
  package var showSites = true
  /// Whether single blocks are listed (`-a`).
  package var showAllocations = false
  /// Whether the heading has the time of day.
  package var timestamps = true
  /// Seconds that local time is ahead of UTC, for that time.
  package var secondsFromUTC = 0
  /// Whether every probe is listed, not only their sum.
  package var showProbes = false
  /// Whether function names are left whole and modules have their paths.
  package var fullNames = false
  /// Stacks whose holders are all printed, by their number in the report or by a function on them.
  package var explainedStacks: [String] = []
  /// Shortens a demangled name where `fullNames` is off.
  package var shortenFunctionName: @Sendable (String) -> String = { $0 }
  /// Writes an entry for a suppressions file for a site; nil when none were asked for.
  package var suppressionEntry: (@Sendable (AllocationSite) -> String)?

  /// Columns of the terminal, or what is assumed for a file.
  package var width = 100
  package var isColored = false
  /// Whether frames of allocators, runtimes and standard libraries stand in stacks, too.
  package var fullStacks = false
  /// Whether only the first screen is wanted.
  package var isShort = false
  /// What was traced, as options of `leaktrace trace`: `-p 1234`. For the commands that are suggested.
  package var subject: String?
  /// The recording that is shown, quoted for a shell; nil where there is none.
  package var recording: String?

  package init(
    top: Int? = nil, showAllocations: Bool = false, timestamps: Bool = true,
    showProbes: Bool = false,
    fullNames: Bool = false
  ) {
    self.top = top
    self.showAllocations = showAllocations
    self.timestamps = timestamps
    self.showProbes = showProbes
    self.fullNames = fullNames
  }

  /// The function that a finding is named by, in few characters.
  func name(of finding: Finding) -> String {
    guard let function = finding.frame.function else { return escapedForTerminal(finding.frame.plainName) }
    return escapedForTerminal(fullNames ? function : OwnFrame.shortName(of: shortenFunctionName(function)))
  }

  /// `svc.cpp:13`, or the object file where no line is known.
  static func place(of frame: Frame) -> String? {
    guard let file = frame.file?.split(separator: "/").last else {
      guard frame.function != nil, let module = frame.module?.split(separator: "/").last else { return nil }
      return "[" + escapedForTerminal(module.hasPrefix("[") ? String(module.dropFirst().dropLast()) : String(module))
        + "]"
    }
    let line = frame.line.map { $0 > 0 ? ":\($0)" : "" } ?? ""
    return escapedForTerminal(String(file)) + line
  }
}
