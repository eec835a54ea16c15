import Glibc
import TestTools
import Testing

@testable import ProcessImage

@Suite struct ProcessInfoTests {
  @Test func readsItsOwnProcess() throws {
    let info = try ProcessInfo(processID: getpid())
    #expect(info.processID == getpid())
    #expect(info.threadGroupID == getpid())
    #expect(info.parentProcessID == getppid())
    #expect(info.userID == geteuid())
    #expect(!info.isKernelThread && !info.hasEnded)
    #expect(info.namespacedProcessIDs.first == getpid())
    #expect(ProcessInfo.threads(of: getpid()).contains(getpid()))
    #expect(ProcessInfo.allProcessIDs().contains(getpid()))
    #expect(ProcessInfo.is32Bit(getpid()) == false)
    #expect(ProcessInfo.sharesMountNamespace(getpid()) == true)
    #expect(ProcessInfo.arguments(of: getpid()).first == CommandLine.arguments.first)
  }

  @Test func readsAChildThroughItsLife() throws {
    let child = try RunningProgram(["cat"])
    // posix_spawn has returned, but the child may not have reached its new program yet.
    #expect(eventually { ProcessInfo.arguments(of: child.processID) == ["cat"] })
    let running = try ProcessInfo(processID: child.processID)
    #expect(running.parentProcessID == getpid())
    #expect(running.command == "cat")
    let executable = try #require(ProcessInfo.executable(of: child.processID))
    #expect(executable.path.hasSuffix("/cat") && !executable.isDeleted)
    kill(child.processID, SIGKILL)
    var ended = running
    let hasEnded = try eventually {
      ended = try ProcessInfo(processID: child.processID)
      return ended.hasEnded
    }
    #expect(hasEnded)
    #expect(ended.state == .zombie)
    #expect(ended.startTimeInTicks == running.startTimeInTicks)
    #expect(try ProcessMaps.read(processID: child.processID).isEmpty)
    #expect(ProcessInfo.arguments(of: child.processID).isEmpty)
    #expect(child.wait() == 128 + SIGKILL)
    #expect { try ProcessInfo(processID: child.processID) } throws: {
      ($0 as? ProcessError)?.isProcessGone == true
    }
  }

  @Test func namesMayHoldAnything() throws {
    let stat = Array(
      "42 (a) R 7 (b) S 1 42 42 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0 0\n".utf8)
    let status = Array(
      "Name:\ta\nTgid:\t40\nUid:\t1000\t1001\t1002\t1003\nNSpid:\t42\t5\t1\n".utf8)
    let info = try #require(ProcessInfo(processID: 42, stat: stat, status: status))
    #expect(info.command == "a) R 7 (b")
    #expect(info.state == .sleeping)
    #expect(info.parentProcessID == 1)
    #expect(info.threadGroupID == 40)
    #expect(info.isKernelThread)
    #expect(info.threadCount == 3)
    #expect(info.startTimeInTicks == 12345)
    #expect(info.userID == 1001)
    #expect(info.namespacedProcessIDs == [42, 5, 1])
    #expect(info.innermostProcessID == 1)
  }

  @Test(arguments: [
    "", "42", "42 (a", "42 )a( R 1", "42 (a) R", "42 (a) R x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
  ])
  func refusesBrokenStat(text: String) {
    #expect(ProcessInfo(processID: 42, stat: Array(text.utf8), status: []) == nil)
  }
}
