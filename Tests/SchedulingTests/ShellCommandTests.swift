import Glibc
import Scheduling
import TestTools
import Testing

struct ShellCommandTests {
  @Test(arguments: [(0, true), (1, false), (77, false)])
  func theStatusIsTold(status: Int32, isSuccess: Bool) throws {
    let command = try ShellCommand("exit \(status)", hasOwnGroup: false)
    #expect(command.waitForEnd() == .status(status))
    #expect(command.ending == .status(status))
    #expect(command.waitForEnd().isSuccess == isSuccess)
    #expect("\(command.waitForEnd())" == "status \(status)")
  }

  @Test func aSignalIsTold() throws {
    let command = try ShellCommand("kill -TERM $$", hasOwnGroup: true)
    #expect(command.waitForEnd() == .signal(SIGTERM))
    #expect("\(command.waitForEnd())" == "signal \(SIGTERM)")
  }

  @Test func inputIsGivenHoweverLargeAndReadOrNot() throws {
    let directory = try TemporaryDirectory()
    let input = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
    let reads = try ShellCommand("wc -c > \(directory.path)/count", input: input, hasOwnGroup: false)
    #expect(reads.waitForEnd().isSuccess)
    #expect(text(directory.file("count")) == "1048576\n")
    let leaves = try ShellCommand("true", input: input, hasOwnGroup: false)
    #expect(leaves.waitForEnd().isSuccess)
  }

  @Test func withoutInputThereIsAnEndAtOnce() throws {
    let command = try ShellCommand("read line && exit 1; exit 5", hasOwnGroup: false)
    #expect(command.waitForEnd() == .status(5))
  }

  @Test func outputGoesToStandardError() throws {
    let command = try ShellCommand(
      "test \"$(readlink /proc/$$/fd/1)\" = \"$(readlink /proc/$$/fd/2)\"", hasOwnGroup: false)
    #expect(command.waitForEnd().isSuccess)
  }

  @Test func theCommandHasNoSignalBlockedAndNoPipeSignalIgnored() throws {
    var before = sigset_t()
    var blocked = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGTERM)
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let command = try ShellCommand("grep -q '^SigBlk:.*0000000000000000' /proc/self/status", hasOwnGroup: false)
    #expect(command.waitForEnd().isSuccess)
    // Bit 12 of what is ignored, the fourth digit from the right, would be SIGPIPE.
    let pipes = try ShellCommand("grep -q '^SigIgn:.*[02468ace]...$' /proc/self/status", hasOwnGroup: false)
    #expect(pipes.waitForEnd().isSuccess)
  }

  @Test func itsGroupIsItsOwnOnlyWhereThatIsAskedFor() throws {
    let own = try ShellCommand("sleep 100", hasOwnGroup: true)
    #expect(getpgid(own.processID) == own.processID)
    own.kill()
    let shared = try ShellCommand("sleep 100", hasOwnGroup: false)
    #expect(getpgid(shared.processID) == getpgrp())
    shared.kill()
    #expect(own.waitForEnd() == .signal(SIGKILL) && shared.waitForEnd() == .signal(SIGKILL))
  }

  @Test func aKilledCommandEndsWithItsGroup() throws {
    let directory = try TemporaryDirectory()
    let command = try ShellCommand("sleep 1000 & echo $! > \(directory.path)/child; wait", hasOwnGroup: true)
    #expect(command.ending == nil)
    var child: Int32?
    _ = eventually {
      child = Int32(text(directory.file("child")).split(separator: "\n").first ?? "")
      return child != nil
    }
    let process = try #require(child)
    command.kill()
    #expect(command.waitForEnd() == .signal(SIGKILL))
    // Whoever takes in orphans reaps it, sooner or later: until then it is a zombie.
    #expect(hasEnded(process))
  }

  @Test func aCommandThatIsForgottenIsKilled() throws {
    var command: ShellCommand? = try ShellCommand("sleep 1000", hasOwnGroup: true)
    let processID = try #require(command?.processID)
    #expect(kill(processID, 0) == 0)
    command = nil
    #expect(kill(processID, 0) == -1 && errno == ESRCH)
  }

  private func text(_ path: String) -> String { String(decoding: contents(of: path), as: UTF8.self) }

  private func hasEnded(_ processID: Int32) -> Bool {
    eventually {
      guard kill(processID, 0) == 0 else { return true }
      let descriptor = open("/proc/\(processID)/stat", O_RDONLY | O_CLOEXEC)
      var bytes = [UInt8](repeating: 0, count: 512)
      let count = read(descriptor, &bytes, bytes.count)
      close(descriptor)
      return count <= 0 || String(decoding: bytes[..<count], as: UTF8.self).contains(") Z ")
    }
  }
}
