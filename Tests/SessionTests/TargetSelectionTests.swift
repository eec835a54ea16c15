import AllocationTracing
import Glibc
import Session
import SystemSupport
import TestTools
import Testing

struct TargetSelectionTests {
  private let processes = [
    TargetSelection.Process(processID: 10, command: "web", controlGroups: ["/system.slice/web.service"]),
    TargetSelection.Process(processID: 11, command: "worker", controlGroups: ["/system.slice/web.service/jobs"]),
    TargetSelection.Process(processID: 12, command: "web", controlGroups: ["/user.slice"]),
    TargetSelection.Process(processID: 13, command: "db", controlGroups: ["/", "/system.slice/db.service"]),
  ]

  private func selection(
    _ processIDs: [Int32] = [], comm: [String] = [], cgroup: [String] = [], all: Bool = false
  ) -> TargetSelection {
    TargetSelection(processIDs: processIDs, commandNames: comm, controlGroups: cgroup, takesAll: all)
  }

  private func find(_ selection: TargetSelection) throws -> [Int32] { try selection.find(among: processes) }

  @Test func commandNamesMatchWhole() throws {
    #expect(try find(selection(comm: ["web"])) == [10, 12])
    #expect(throws: Refusal.self) { try find(selection(comm: ["we"])) }
  }

  @Test func aControlGroupHoldsThoseBelowIt() throws {
    #expect(try find(selection(cgroup: ["/system.slice/web.service"])) == [10, 11])
    #expect(try find(selection(cgroup: ["db.service"])) == [13])
  }

  @Test func whateverMatchesSeveralTimesIsThereOnce() throws {
    #expect(try find(selection([12, 12, 99], comm: ["web"], cgroup: ["/system.slice"])) == [12, 99, 10, 11, 13])
  }

  @Test func allMeansAll() throws {
    #expect(try find(selection(all: true)) == [10, 11, 12, 13])
  }

  @Test func aNameThatNothingHasIsAnErrorThatNamesIt() {
    let command = #expect(throws: Refusal.self) { try find(selection(comm: ["web", "none"])) }
    #expect(command?.description == "no process has the command name none")
    let group = #expect(throws: Refusal.self) { try find(selection(cgroup: ["/none"])) }
    #expect(group?.description == "--cgroup /none: no process is in a control group of that path or name")
  }

  @Test func leaktraceItselfIsRefused() {
    #expect(throws: Refusal.self) { try find(selection([getpid()])) }
  }

  @Test func onlySelectionsByNameAreOpen() {
    #expect(!selection([1]).isOpen)
    #expect(selection(comm: ["a"]).isOpen && selection(cgroup: ["/a"]).isOpen && selection(all: true).isOpen)
  }

  @Test func itsNameIsThatOfItsGroups() {
    #expect(selection([1], comm: ["web"]).name == nil)
    #expect(selection(all: true).name == "all processes")
    #expect(selection(cgroup: ["/a", "b.service"]).name == "control group /a, control group b.service")
  }

  @Test func theRunningProcessesAreThoseOfTheHostWithoutOurOwn() throws {
    let child = try ShellChild()
    defer { child.end() }
    let running = TargetSelection.runningProcesses(readingGroups: true)
    let first = running.first { $0.processID == 1 }
    #expect(first?.controlGroups.isEmpty == false && first?.command.isEmpty == false)
    #expect(!running.contains { $0.processID == getpid() || $0.processID == child.processID })
  }
}

/// A child of this process.
private struct ShellChild {
  let processID: Int32

  init() throws {
    var started: pid_t = 0
    let arguments = [strdup("sleep"), strdup("100"), nil]
    defer { for argument in arguments { free(argument) } }
    try #require(posix_spawnp(&started, "sleep", nil, nil, arguments, environ) == 0)
    processID = started
  }

  func end() {
    kill(processID, SIGKILL)
    var status: Int32 = 0
    waitpid(processID, &status, 0)
  }
}
