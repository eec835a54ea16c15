import ArgumentParser
import Glibc
import Session
import Symbolization

/// The root command. It has one subcommand for each step of the work on leaks.
@main
struct LeakTrace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leaktrace",
    abstract: "Finds memory leaks in running programs, with no restart and no change to them.",
    version: "0.1.0",
    subcommands: [
      ObserveCommand.self, TraceCommand.self, KernelCommand.self, ReportCommand.self, VerifyCommand.self,
      GuardCommand.self, DoctorCommand.self, WatchCommand.self,
    ])

  static func main() {
    WorkerMain.runIfStarted()
    do {
      let arguments = OptionalValues.filledIn(Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch let error as ExitCode {
      Glibc.exit(error.rawValue)
    } catch {
      let code = exitCode(for: error)
      if code == .success {
        print(fullMessage(for: error))
        Glibc.exit(0)
      }
      complain(message(for: error))
      Glibc.exit(Failure.usageOrEnvironment)
    }
  }
}
