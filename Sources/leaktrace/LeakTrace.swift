import ArgumentParser
import Glibc

/// The root command: one subcommand per step of leak work.
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

  /// One line on standard error, with the name of the program.
  static func complain(_ message: String) {
    let line = message.split(separator: "\n").first.map(String.init) ?? "failed"
    writeAll("leaktrace: \(line)\n", to: STDERR_FILENO)
  }
}

/// Exit codes of every command.
enum Failure {
  static let leakFound: Int32 = 1
  static let usageOrEnvironment: Int32 = 2
  static let interrupted: Int32 = 130
}

/// Writes all of `text`; returns whether the reader is still there.
@discardableResult
func writeAll(_ text: String, to descriptor: Int32) -> Bool {
  var text = text
  return text.withUTF8 { bytes in
    var written = 0
    while written < bytes.count {
      let count = write(descriptor, bytes.baseAddress! + written, bytes.count - written)
      if count < 0 {
        if errno == EINTR || errno == EAGAIN { continue }
        return false
      }
      written += count
    }
    return true
  }
}
