import Glibc
import ProcessControl
import TestTools
import Testing

@testable import LeakAnalysis

/// However long leaktrace takes, a process that it has stopped goes on when the longest pause is over.
@Suite struct PauseLimitTests {
  /// A program without blocks whose list of blocks takes as long as the test wants.
  private final class SlowSubject: LeakCheckSubject {
    let processID: Int32
    let generation: UInt32 = 1
    let blockCount = 0
    /// Called each time when blocks are listed.
    let listing: () -> Void

    init(_ processID: Int32, listing: @escaping () -> Void) {
      self.processID = processID
      self.listing = listing
    }

    func handleEvents() {}
    func collectBlocks(part: Int, of parts: Int, into add: (LeakBlock, UInt32) -> Void) { listing() }
    func heapKnowledge(threads: [StoppedThread]) -> HeapKnowledge { HeapKnowledge(isComplete: true) }
  }

  private func isStopped(_ processID: Int32) -> Bool {
    let status = contents(of: "/proc/\(processID)/stat")
    guard let name = status.lastIndex(of: UInt8(ascii: ")")) else { return false }
    return status.dropFirst(name + 2).first == UInt8(ascii: "t")
  }

  private func contents(of path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, 4096, file)
    return Array(bytes.prefix(count))
  }

  /// It is let go in the middle of what takes too long, and searched again while it runs.
  @Test func goesOnWhileBlocksAreListed() throws {
    let program = try RunningProgram(["sleep", "1000"])
    #expect(eventually { contents(of: "/proc/\(program.processID)/comm").starts(with: "sleep\n".utf8) })
    var settings = LeakCheckSettings()
    settings.maximumPause = .milliseconds(200)
    settings.searchInterval = .zero
    var wasStopped = false
    var wentOn = false
    let subject = SlowSubject(program.processID) { [self] in
      guard !wasStopped else { return }
      wasStopped = isStopped(program.processID)
      wentOn = eventually { !isStopped(program.processID) }
    }
    let result = try LeakChecker(settings: settings).check(subject)
    #expect(wasStopped)
    #expect(wentOn)
    #expect(result.summary.method == .running)
    #expect(result.summary.paused > .zero)
    #expect(
      result.summary.notes.first
        == "let go before its blocks were listed: that takes longer than --max-pause; searched while it ran")
    #expect(!isStopped(program.processID))
  }

  /// In time, it is searched while it stands still.
  @Test func isSearchedWhileItIsStopped() throws {
    let program = try RunningProgram(["sleep", "1000"])
    var settings = LeakCheckSettings()
    settings.maximumPause = .seconds(1000)
    var wasStopped = false
    let subject = SlowSubject(program.processID) { [self] in wasStopped = isStopped(program.processID) }
    let result = try LeakChecker(settings: settings).check(subject)
    #expect(wasStopped)
    #expect(result.summary.method == .paused)
    #expect(!isStopped(program.processID))
  }

  /// The alarm of a pause is its tracer thread's: it rings whatever the thread that asked for the pause is doing.
  @Test func pauseEndsByItself() throws {
    let program = try RunningProgram(["sleep", "1000"])
    let thread = TracerThread()
    defer { thread.end() }
    let pause = try thread.pause(
      program.processID, restart: SystemCallRestart(), patience: .seconds(100), limit: .milliseconds(100)
    ) {}
    #expect(eventually { !isStopped(program.processID) })
    #expect(!thread.isOn(pause))
    #expect(!thread.resume(pause))
    // The next one has its own.
    let next = try thread.pause(
      program.processID, restart: SystemCallRestart(), patience: .seconds(100), limit: .seconds(1000)
    ) {}
    #expect(isStopped(program.processID))
    #expect(thread.isOn(next))
    #expect(thread.resume(next))
    #expect(!isStopped(program.processID))
    #expect(!thread.resume(next))
  }
}
