import CProcessControl
import Glibc
import Scheduling

/// Shows text through the user's pager, as git does.
package enum Pager {
  /// The pager's command line; nil where text goes to the terminal or to a file as it is.
  ///
  /// LEAKTRACE_PAGER comes before PAGER, and less is the usual one. An empty one, or `cat`, is none.
  package static var command: String? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    if let terminal = getenv("TERM").map({ String(cString: $0) }), terminal == "dumb" { return nil }
    let names = ["LEAKTRACE_PAGER", "PAGER"]
    let chosen = names.lazy.compactMap { name in getenv(name).map { String(cString: $0) } }.first ?? "less"
    return chosen.isEmpty || chosen == "cat" ? nil : chosen
  }

  /// Shows text and waits until the user has left the pager. Returns false if the pager could not be run: then nothing was
  /// shown.
  package static func show(_ bytes: [UInt8], with command: String) -> Bool {
    // What fits one screen stays on the terminal, colours pass, and the screen is not cleared.
    if getenv("LESS") == nil { setenv("LESS", "FRX", 1) }
    if getenv("LV") == nil { setenv("LV", "-c", 1) }
    let name = command.split(separator: " ").first.map(String.init) ?? command
    guard isProgram(name) else { return false }
    do {
      let pager = try ShellCommand(command, input: bytes, hasOwnGroup: false, output: STDOUT_FILENO)
      // Ctrl-C belongs to the pager.
      let before = signal(SIGINT, SIG_IGN)
      defer { signal(SIGINT, before) }
      // 127 is the shell's word for a program that is not there.
      return pager.waitForEnd() != .status(127)
    } catch { return false }
  }

  private static func isProgram(_ name: String) -> Bool {
    if name.contains("/") { return access(name, X_OK) == 0 }
    guard let path = getenv("PATH") else { return false }
    return String(cString: path).split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
  }
}
