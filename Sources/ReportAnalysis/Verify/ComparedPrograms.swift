import TraceModel

/// Tells by the evidence in two recordings whether they are of the same program. A rebuilt program has another build id, and
/// that must be comparable: it is what a fix makes. So a program is another one when neither its build nor its file's name
/// is the same, when an interpreter runs another script, or when another allocator serves it.
struct ComparedPrograms {
  /// Why the recordings cannot be compared, as sentences; empty when they can.
  private(set) var differences: [String] = []
  /// What the reader should know although they can.
  private(set) var notes: [String] = []

  init(_ before: Report, _ after: Report) {
    if (before.target.kind == .kernel) != (after.target.kind == .kernel) {
      differences.append("\(Self.name(before)) was traced in BEFORE, \(Self.name(after)) in AFTER")
      return
    }
    if before.target.kind == .kernel {
      if let old = before.target.kernelRelease, let new = after.target.kernelRelease, old != new {
        notes.append("another kernel: \(old) in BEFORE, \(new) in AFTER")
      }
    } else {
      compareExecutables(before, after)
      if differences.isEmpty { compareCommands(before.target.command, after.target.command) }
      compareAllocators(Self.programs(before), Self.programs(after))
    }
    compareSettings(before, after)
  }

  // MARK: Executables

  private mutating func compareExecutables(_ before: Report, _ after: Report) {
    let (old, new) = (Self.programs(before), Self.programs(after))
    guard !old.isEmpty, !new.isEmpty else {
      notes.append("which program was traced is not in both recordings: whether it is the same one was not looked at")
      return
    }
    let builds = (Set(old.compactMap(\.buildID)), Set(new.compactMap(\.buildID)))
    if !builds.0.isDisjoint(with: builds.1) { return }
    let names = (Set(old.compactMap(Self.fileName)), Set(new.compactMap(Self.fileName)))
    guard !names.0.isEmpty, !names.1.isEmpty else { return }
    guard !names.0.isDisjoint(with: names.1) else {
      differences.append(
        "BEFORE is of \(Self.list(old.compactMap(\.executable))), AFTER of \(Self.list(new.compactMap(\.executable)))")
      return
    }
    let paths = (Set(old.compactMap(\.executable)), Set(new.compactMap(\.executable)))
    if paths.0.isDisjoint(with: paths.1) {
      notes.append("\(Self.list(paths.0)) in BEFORE and \(Self.list(paths.1)) in AFTER are taken for one program")
    }
    if !builds.0.isEmpty, !builds.1.isEmpty {
      notes.append("another build of the program: \(Self.list(builds.0)) in BEFORE, \(Self.list(builds.1)) in AFTER")
    }
  }

  private static func programs(_ report: Report) -> [Report.Program] {
    if let programs = report.target.programs, programs.contains(where: { $0.executable != nil }) { return programs }
    guard let executable = report.target.executable else { return [] }
    let build = report.sites.lazy.flatMap(\.frames).first { $0.module == executable && $0.buildID != nil }?.buildID
    return [Report.Program(executable: executable, buildID: build)]
  }

  /// Without its directory, and without what the kernel adds to the path of a file that has been replaced.
  private static func fileName(_ program: Report.Program) -> String? {
    program.executable.map { path in
      let deleted = " (deleted)"
      let path = path.hasSuffix(deleted) ? String(path.dropLast(deleted.count)) : path
      return path.split(separator: "/").last.map(String.init) ?? path
    }
  }

  private static func name(_ report: Report) -> String {
    report.target.kind == .kernel ? "the kernel" : report.target.command ?? report.target.executable ?? "a program"
  }

  private static func list(_ texts: some Collection<String>) -> String {
    let sorted = texts.sorted()
    return sorted.prefix(3).joined(separator: ", ") + (sorted.count > 3 ? " and \(sorted.count - 3) more" : "")
  }

  // MARK: Commands

  /// How the names of programs begin whose first argument is the program proper.
  private static let interpreters = [
    "python", "pypy", "ruby", "perl", "php", "node", "bash", "sh", "dash", "zsh", "lua", "Rscript", "java", "guile",
    "tclsh",
    "beam", "dotnet", "mono", "deno", "bun", "busybox",
  ]

  private mutating func compareCommands(_ before: String?, _ after: String?) {
    guard let before, let after, before != after else { return }
    let (old, new) = (Self.words(before), Self.words(after))
    guard let first = old.first, let second = new.first else { return }
    let isInterpreter = [first, second].contains { word in
      let name = word.split(separator: "/").last ?? ""
      return Self.interpreters.contains { name.hasPrefix($0) && name.dropFirst($0.count).allSatisfy(Self.isVersion) }
    }
    if isInterpreter, let script = Self.script(old), let other = Self.script(new), script != other {
      differences.append("BEFORE ran \(before), AFTER \(after)")
    } else {
      notes.append("the command differs: \(before) in BEFORE, \(after) in AFTER")
    }
  }

  private static func words(_ command: String) -> [Substring] { command.split(separator: " ") }
  private static func isVersion(_ character: Character) -> Bool {
    character.isNumber || character == "." || character == "-"
  }

  /// The file, or the text behind an option such as `-c`, that an interpreter runs: without its directory.
  private static func script(_ words: [Substring]) -> Substring? {
    let arguments = words.dropFirst()
    guard let plain = arguments.first(where: { !$0.hasPrefix("-") }) else { return nil }
    return plain.split(separator: "/").last ?? plain
  }

  // MARK: Allocators and settings

  private mutating func compareAllocators(_ before: [Report.Program], _ after: [Report.Program]) {
    let (old, new) = (Set(before.compactMap(\.allocator)), Set(after.compactMap(\.allocator)))
    guard !old.isEmpty, !new.isEmpty, old.isDisjoint(with: new) else { return }
    differences.append("another allocator serves the program: \(Self.list(old)) in BEFORE, \(Self.list(new)) in AFTER")
  }

  private mutating func compareSettings(_ before: Report, _ after: Report) {
    if let old = before.settings, let new = after.settings, old != new {
      differences.append("the recordings were made with other options: sizes (-z, -Z), ages (-o) or --no-mappings")
    }
    for (name, report) in [("BEFORE", before), ("AFTER", after)] {
      if let filter = report.filter { differences.append("\(name) is only a part of a recording: \(filter.words)") }
    }
  }
}

extension Report {
  /// Causes for which blocks or frees are missing in the numbers. That a stack broke off is none: its blocks are counted.
  package var missingRecords: [LossCounter] { loss.filter { $0.value > 0 && !$0.name.hasPrefix("stacks_") } }
}
