import ArgumentParser
import Glibc
import Session
import Symbolization
import SystemSupport

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

  /// A mistyped command is told at once, with the one that may be meant.
  private static func checkSubcommand(_ name: String?) throws {
    guard let name, !name.hasPrefix("-") else { return }
    let known = configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    guard !known.contains(name) else { return }
    let near = Spelling.near(name, among: known)
    let suggestion = near.first.map { "; do you mean \($0)?" } ?? "; there is \(known.joined(separator: ", "))"
    throw ValidationError("there is no command \(name)\(suggestion)")
  }

  /// Prints what was asked for, such as a help text. Returns whether that was possible.
  private static func printed(_ text: String) -> Bool {
    if writeAll(text + "\n", to: STDOUT_FILENO) { return true }
    complain("standard output cannot be written: \(errorMessage(errno))")
    return false
  }

  static func main() {
    WorkerMain.runIfStarted()
    do {
      let given = Array(CommandLine.arguments.dropFirst())
      try checkSubcommand(given.first)
      let arguments = OrderedValue.marked(OptionalValues.filledIn(given))
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch let error as ExitCode {
      Glibc.exit(error.rawValue)
    } catch {
      let code = exitCode(for: error)
      if code == .success {
        Glibc.exit(printed(fullMessage(for: error)) ? 0 : Failure.usageOrEnvironment)
      }
      complain(message(for: error))
      Glibc.exit(Failure.usageOrEnvironment)
    }
  }
}
