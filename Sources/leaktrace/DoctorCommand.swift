import AllocationTracing
import ArgumentParser
import Glibc
import HostCapabilities
import HostObservation
import ReportFormats
import Session

/// `leaktrace doctor`: tells what this host allows leaktrace to do.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Tries what tracing needs of this kernel and host, and says what works, what does not, and what to do.",
    discussion: """
      Programs are really loaded and probes really attached, to functions of leaktrace's own. With -p the process is looked \
      at, and a sampled trace of one second counts its allocations to predict what a full one would cost. Exits with 1 if \
      something is missing that a trace cannot do without.
      """)

  @Option(
    name: [.customShort("p"), .customLong("pid")],
    help: ArgumentHelp(
      "Look at this process, too, and predict the overhead; several with commas or several times.", valueName: "pid"))
  var processes: [ProcessIDs] = []

  private var processIDs: [Int32] { processes.flatMap(\.values) }

  @Flag(name: .customLong("no-probe"), help: "With -p: attach nothing to the process, and predict nothing.")
  var attachesNothing = false

  @Option(help: "\(DiagnosisFormat.all.alternatives).")
  var format: OrderedValue?

  mutating func validate() throws {
    _ = try DiagnosisFormat.all.chosen(format?.text)
    for processID in processIDs where processID <= 0 {
      throw ValidationError("-p \(processID): a process id is a positive number")
    }
    if processIDs.contains(getpid()) { throw ValidationError("leaktrace cannot look at itself") }
  }

  mutating func run() throws {
    var diagnosis = HostDiagnosis(checks: HostChecks.all(), costs: ProbeCosts.measure())
    for processID in processIDs {
      diagnosis.checks += TargetChecks.of(processID)
      if diagnosis.isReady, !attachesNothing, let costs = diagnosis.costs {
        do { diagnosis.forecast = try OverheadForecast.measure(processID: processID, costs: costs) } catch {
          diagnosis.checks.append(CapabilityCheck(.target, "attach", .fails, "\(error)"))
        }
      }
    }
    try printAll(try DiagnosisFormat.all.chosen(format?.text).render(diagnosis))
    if !diagnosis.isReady { throw ExitCode(1) }
  }
}
