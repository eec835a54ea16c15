import CProcessControl
import Glibc
import ProcessControl
import ProcessImage
import SystemSupport
import TraceModel

/// A program that leaktrace starts itself, so that it is traced from its first allocation.
package final class TargetCommand {
  package let processID: Int32
  package let arguments: [String]
  /// Exit code, or 128 + signal; nil while it runs.
  package private(set) var exitStatus: Int32?
  /// The thread that is the program's parent and its ptrace tracer.
  private let thread: TracerThread
  /// Holds the program at its exit, if that was asked for.
  private let exitWatch: ExitWatch?

  /// Starts a program and holds it before its first instruction.
  ///
  /// - Parameters:
  ///   - arguments: the program, looked up in PATH unless it has a slash, and its arguments.
  ///   - exitWatch: holds the program at its exit. Without one, ptrace no longer traces the program once it runs.
  package init(arguments: [String], exitWatch: ExitWatch? = nil) throws {
    guard let name = arguments.first, !name.isEmpty else {
      throw Refusal("no command to run: give it after `--`, or with -c \"CMD\"")
    }
    let path = try Self.find(name)
    var argv = arguments.map { strdup($0) } + [nil]
    defer { for argument in argv { free(argument) } }
    let thread = exitWatch?.thread ?? TracerThread()
    let process = try argv.withUnsafeMutableBufferPointer { argv in
      try thread.perform { cprocess_spawn_stopped(path, argv.baseAddress!, environ) }
    }
    self.thread = thread
    self.exitWatch = exitWatch
    guard process > 0 else {
      throw Refusal("\(name): cannot be run: \(errorMessage(-process))")
    }
    processID = process
    self.arguments = arguments
  }

  /// The file that a shell would run.
  private static func find(_ name: String) throws(Refusal) -> String {
    if name.contains("/") { return name }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    var isForbidden = false
    for directory in path.split(separator: ":", omittingEmptySubsequences: false) {
      let candidate = (directory.isEmpty ? "." : String(directory)) + "/" + name
      var status = stat()
      guard stat(candidate, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      if access(candidate, X_OK) == 0 { return candidate }
      isForbidden = true
    }
    throw Refusal(
      isForbidden
        ? "\(name): found in PATH, but not executable" : "\(name): no such command in PATH")
  }

  /// Lets the program run. The tracer attaches to every object after the loader has mapped them all and before any code of
  /// them runs, so that constructors are traced, too.
  package func start(with tracer: AllocationTracer) throws {
    try thread.perform {
      do {
        let process = try tracer.attach(stopped: processID)
        try followLoader(tracer, process)
        try tracer.release(process)
        guard (exitWatch?.watch(seized: processID) ?? cprocess_detach(processID, 0)) == 0 else {
          throw Refusal("\(arguments[0]): ended while it was being attached")
        }
      } catch {
        if exitStatus == nil {
          kill(processID, SIGKILL)
          var stop = cprocess_stop()
          while cprocess_next_stop(processID, true, &stop) == 0, stop.kind != CPROCESS_ENDED {}
          record(stop.status)
        }
        throw error
      }
    }
  }

  /// Runs the program from one system call to the next while it is in its loader.
  private func followLoader(_ tracer: AllocationTracer, _ process: TracedProcess) throws {
    // Without a loader (static) or with one that is the C library itself (musl), all there is to probe is mapped.
    guard let loader = process.mappings.first(where: isLoader),
      !process.mappings.contains(where: { $0.path.contains("ld-musl") })
    else { return }
    let range = process.mappings.filter { $0.path == loader.path }
    guard let start = range.map(\.start).min(), let end = range.map(\.end).max() else { return }
    var pendingSignal: Int32 = 0
    var hasNewCode = false
    while true {
      guard cprocess_continue_to_syscall(processID, pendingSignal) == 0 else {
        throw Refusal("\(arguments[0]): ended while it was being attached")
      }
      pendingSignal = 0
      var stop = cprocess_stop()
      guard cprocess_next_stop(processID, true, &stop) == 0 else { return }
      if stop.kind == CPROCESS_ENDED {
        record(stop.status)
        throw Refusal("\(arguments[0]): ended while its libraries were being loaded")
      }
      guard stop.kind == CPROCESS_AT_SYSCALL else {
        if stop.kind == CPROCESS_SIGNALLED { pendingSignal = stop.signal }
        continue
      }
      var call = cprocess_syscall()
      guard cprocess_read_syscall(processID, &call) == 0 else { continue }
      // glibc sets up its threads (prlimit64) before the loader is done, so this call does not count as one from outside.
      let isOutside = !(start..<end).contains(call.instruction_pointer) && call.number != Int64(SYS_prlimit64)
      // Not after each library: which functions are worth a probe depends on all of them.
      if hasNewCode, isOutside || Self.followsMapping(call) {
        try tracer.update(process)
        hasNewCode = false
      }
      // The first call from outside the loader: every library is in place and attached.
      if isOutside { return }
      let isMap = call.number == Int64(SYS_mmap)
      let isExecutable = call.arguments.2 & UInt64(PROT_EXEC) != 0
      if isMap, isExecutable, call.result > 0 { hasNewCode = true }
    }
  }

  /// Whether the loader makes this call only when it has mapped every library that it knows of: it sets up the first
  /// thread (arch_prctl, set_tid_address), protects what it has relocated (mprotect) or lets go of its cache (munmap).
  private static func followsMapping(_ call: cprocess_syscall) -> Bool {
    switch Int32(truncatingIfNeeded: call.number) {
    case SYS_arch_prctl, SYS_set_tid_address, SYS_munmap: true
    case SYS_mprotect: call.arguments.2 == UInt64(PROT_READ)
    default: false
    }
  }

  private func isLoader(_ mapping: Mapping) -> Bool {
    guard let name = mapping.path.split(separator: "/").last else { return false }
    return name.hasPrefix("ld-linux") || name.hasPrefix("ld.so") || name.hasPrefix("ld-2.")
  }

  /// Takes the exit status if the program has ended. Returns whether it has.
  @discardableResult
  package func reap(waits: Bool = false) -> Bool {
    if exitStatus != nil { return true }
    guard let exitWatch else {
      // The program is not traced by ptrace any more, but it is still a child of the thread that started it.
      var status: Int32 = 0
      let found = try? thread.perform { waitpid(processID, &status, waits ? 0 : WNOHANG) }
      if found == processID { record(status) }
      return exitStatus != nil
    }
    exitStatus = exitWatch.exitStatus(of: processID)
    while waits, exitStatus == nil {
      var ready = pollfd(fd: exitWatch.descriptor, events: Int16(POLLIN), revents: 0)
      poll(&ready, 1, -1)
      for held in exitWatch.takeHeld() { exitWatch.release(held) }
      exitStatus = exitWatch.exitStatus(of: processID)
    }
    return exitStatus != nil
  }

  private func record(_ status: Int32) {
    if status & 0x7f == 0 {
      exitStatus = status >> 8 & 0xff
    } else if status & 0xff != 0x7f {
      exitStatus = 128 + (status & 0x7f)
    }
  }

  /// Splits a command line as a shell does: blanks, single and double quotes, backslashes.
  package static func split(_ line: String) throws(Refusal) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    var isEscaped = false
    for character in line {
      if isEscaped {
        // Inside double quotes a backslash is an ordinary character unless it stands before one of these.
        if quote == "\"", !["\"", "\\", "$", "`"].contains(character) { word = (word ?? "") + "\\" }
        word = (word ?? "") + String(character)
        isEscaped = false
      } else if character == "\\", quote != "'" {
        isEscaped = true
        word = word ?? ""
      } else if let open = quote {
        if character == open { quote = nil } else { word = (word ?? "") + String(character) }
      } else if character == "'" || character == "\"" {
        quote = character
        word = word ?? ""
      } else if character.isWhitespace {
        if let done = word { words.append(done) }
        word = nil
      } else {
        word = (word ?? "") + String(character)
      }
    }
    guard quote == nil, !isEscaped else {
      throw Refusal("the command \(line) ends inside a quotation")
    }
    if let done = word { words.append(done) }
    return words
  }
}
