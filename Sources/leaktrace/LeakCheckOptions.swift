import ArgumentParser
import Glibc
import LeakAnalysis
import ProcessImage
import Session
import SystemSupport
import TraceModel

/// The options of a leak check: what is searched, what is shown, and what counts as an error.
struct LeakCheckOptions: ParsableArguments {
  @Option(
    name: .customLong("leak-check"),
    help: ArgumentHelp(
      "At each report, test which outstanding blocks the program can still reach. Without a value: full.",
      valueName: "full|summary"))
  var mode: LeakCheckMode?

  @Option(
    help: ArgumentHelp(
      "Which kinds a full check shows: definite, indirect, possible, reachable, growing (stacks that grow, whatever reaches their blocks); all or none. Default definite,possible,growing. Recordings (pprof, json) hold all.",
      valueName: "kinds"),
    transform: LeakKinds.init(parsing:))
  var leakKinds: LeakKinds?

  @Option(
    help: ArgumentHelp(
      "Exit with 1 when the last report has blocks of these kinds. Without a value: definite,possible,growing: a stack that is reachable and grows counts, too.",
      valueName: "kinds"),
    transform: LeakKinds.init(parsing:))
  var failOnLeak: LeakKinds?

  @Flag(help: "With -a, show the first 64 bytes of each block.")
  var hexdump = false

  @Option(
    name: .customLong("explain"),
    help: ArgumentHelp(
      "Say by what path the block at this address is reachable, or who holds the blocks of a stack, by its number in the report or a function on it; can be repeated.",
      valueName: "address|stack"),
    transform: ExplainedThing.init(parsing:))
  var explained: [ExplainedThing] = []

  @Option(help: "How long a check may stop a process at most (milliseconds, or with ms, s). Default 250ms.")
  var maxPause: String?

  @Flag(help: "Never stop a process for a check: search it several times while it runs.")
  var noPause = false

  @Option(help: ArgumentHelp("\(RootSelection.help)", valueName: "list"), transform: RootSelection.init(parsing:))
  var roots: RootSelection?

  @Flag(help: "Look for pointers at every byte, not only at multiples of 8.")
  var unaligned = false

  @Option(
    name: .customLong("suppressions"),
    help: ArgumentHelp(
      "Leave out leaks that this file names, in the syntax of LeakSanitizer or Valgrind; can be repeated.",
      valueName: "file"))
  var suppressionFiles: [String] = []

  @Option(
    help: ArgumentHelp(
      "After the report, print a suppression for each site shown. Without a value: valgrind.",
      valueName: "valgrind|lsan"))
  var genSuppressions: SuppressionSyntax?

  mutating func validate() throws {
    if mode == nil, let option = firstGiven {
      throw ValidationError("\(option) belongs to a leak check: add --leak-check")
    }
    if noPause, maxPause != nil { throw ValidationError("--no-pause and --max-pause contradict each other") }
    guard let maxPause else { return }
    let pause = try TimeValue.parse(maxPause, plainUnit: .milliseconds(1))
    if pause <= .zero { throw ValidationError("--max-pause \(maxPause): to stop nothing at all write --no-pause") }
    if pause > .seconds(60) { throw ValidationError("--max-pause \(maxPause): a minute at most") }
  }

  /// The first option that was given although it has no meaning without a leak check.
  private var firstGiven: String? {
    if leakKinds != nil { return "--leak-kinds" }
    if failOnLeak != nil { return "--fail-on-leak" }
    if hexdump { return "--hexdump" }
    if !explained.isEmpty { return "--explain" }
    if maxPause != nil { return "--max-pause" }
    if noPause { return "--no-pause" }
    if roots != nil { return "--roots" }
    if unaligned { return "--unaligned" }
    if !suppressionFiles.isEmpty { return "--suppressions" }
    if genSuppressions != nil { return "--gen-suppressions" }
    return nil
  }

  // MARK: What the options mean

  /// nil when no leak check was asked for.
  func plan() throws -> LeakCheckPlan? {
    guard let mode else { return nil }
    var plan = LeakCheckPlan(settings: try settings())
    plan.isSummary = mode == .summary
    plan.failingKinds = failOnLeak?.kinds ?? []
    plan.failsOnGrowing = failOnLeak?.includesGrowing ?? false
    for thing in explained {
      switch thing {
      case .block(let address): plan.explainedAddresses.append(address.value)
      case .stack(let name): plan.explainedStacks.append(name)
      }
    }
    plan.dumpBytes = hexdump ? 64 : 0
    plan.suppressionEntry = suppressionEntry
    return plan
  }

  private func settings() throws -> LeakCheckSettings {
    var settings = LeakCheckSettings()
    settings.maximumPause = try maximumPause()
    settings.scan.roots = roots?.policy ?? .all
    settings.scan.threads = max(1, min(4, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    settings.scan.alignment = unaligned ? 1 : 8
    settings.scan.retainsSources = explained.contains { if case .block = $0 { true } else { false } }
    settings.scan.notesHolders = true
    return settings
  }

  /// What --gen-suppressions prints for a site. nil: nothing.
  private var suppressionEntry: (@Sendable (AllocationSite) -> String)? {
    let kinds = (leakKinds ?? .errors).kinds
    return switch genSuppressions {
    case .valgrind: { SuppressionWriter.valgrind($0, kinds: kinds) }
    case .lsan: { SuppressionWriter.lsan($0) }
    case nil: nil
    }
  }

  /// The stacks that are shown. The default is that of memcheck, and what grows.
  var selection: ReportSelection {
    let shown = leakKinds ?? .errors
    return ReportSelection(kinds: shown.kinds, includesGrowing: shown.includesGrowing)
  }

  /// How long a check may stop a process. Zero when it must not stop it at all.
  private func maximumPause() throws -> Duration {
    if noPause { return .zero }
    return try maxPause.map { try TimeValue.parse($0, plainUnit: .milliseconds(1)) } ?? .milliseconds(250)
  }

  /// The rules of all suppression files. If one is wrong, it throws a message of one line with the file and the place
  /// in it.
  func suppressions() throws -> Suppressions {
    var suppressions = Suppressions()
    for path in suppressionFiles {
      let bytes: [UInt8]
      do throws(Refusal) { bytes = try TrustedFile.read(path) } catch {
        throw ValidationError("--suppressions \(path) cannot be read: \(error)")
      }
      do { try suppressions.add(String(decoding: bytes, as: UTF8.self), file: path) } catch {
        throw ValidationError("--suppressions \(error)")
      }
    }
    return suppressions
  }
}

/// How much detail a leak check reports.
enum LeakCheckMode: String, ExpressibleByArgument, CaseIterable {
  /// Every site, with the kinds of its leaks.
  case full
  /// Only the totals for each kind.
  case summary
}

/// The syntax in which suppressions are printed.
enum SuppressionSyntax: String, ExpressibleByArgument, CaseIterable {
  case valgrind, lsan
}
