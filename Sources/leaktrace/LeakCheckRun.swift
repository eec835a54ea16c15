import AllocationTracing
import Glibc
import LeakAnalysis
import ProcessControl
import ProcessImage
import TraceModel

/// The leak checks of one trace: at each report and at the exit of processes that leaktrace has started.
final class LeakCheckRun {
  /// Holds the command and its children at their exit.
  let watch: ExitWatch?
  private let checker: LeakChecker
  private let tracer: AllocationTracer
  private let origins: MappingOrigins
  private var results: [ObjectIdentifier: LeakCheckResult] = [:]
  /// Why processes could not be checked: now, and at their exit.
  var notes: [String] { currentNotes + exitNotes }
  private var currentNotes: [String] = []
  private var exitNotes: [String] = []

  /// - Parameter watch: there when the trace is of a command.
  init(settings: LeakCheckSettings, tracer: AllocationTracer, watch: ExitWatch?) {
    self.watch = watch
    self.tracer = tracer
    checker = LeakChecker(settings: settings, watch: watch)
    origins = MappingOrigins(tracer)
  }

  /// Of the processes as they are now, or were at their end.
  var latestResults: [LeakCheckResult] { Array(results.values) }

  /// Checks every process that runs.
  func checkRunning() {
    currentNotes = []
    for process in tracer.processes {
      let id = ObjectIdentifier(process)
      if process.state != .running {
        if let result = results[id], result.summary.method != .atExit { result.isPast = true }
        continue
      }
      origins.prepare(process)
      do {
        results[id] = try checker.check(TracedSubject(process, of: tracer, origins: origins))
      } catch {
        currentNotes.append("process \(process.processID) was not checked for leaks: \(error)")
      }
    }
  }

  /// Checks processes that wait at their exit, and lets them go.
  func checkHeld() {
    guard let watch else { return }
    for processID in watch.takeHeld() {
      defer { watch.release(processID) }
      waitForThreads(of: processID, watch)
      tracer.handleEvents()
      guard let process = tracer.processes.last(where: { $0.processID == processID && $0.state == .running }) else {
        continue
      }
      var threads = watch.heldThreads(of: processID)
      let held = Set(threads.map(\.threadID))
      threads += tracer.dyingThreads(of: process).filter { !held.contains($0.threadID) }.map { thread in
        StoppedThread(
          threadID: thread.threadID,
          registers: StoppedThread.Registers(
            stackPointer: thread.stackPointer, instructionPointer: 0, threadBase: thread.threadBase,
            values: thread.values),
          stackPointer: thread.stackPointer)
      }
      origins.prepare(process)
      do {
        results[ObjectIdentifier(process)] = try checker.checkAtExit(
          TracedSubject(process, of: tracer, origins: origins), threads: threads)
      } catch {
        exitNotes.append("process \(processID) was not checked for leaks at its exit: \(error)")
      }
    }
  }

  /// Other threads die at the same time; what they held in their registers is known when they are dead.
  private func waitForThreads(of processID: Int32, _ watch: ExitWatch) {
    let held = Set(watch.heldThreads(of: processID).map(\.threadID))
    for _ in 0..<500 {
      let others = ProcessInfo.threads(of: processID).filter { !held.contains($0) }
      if others.allSatisfy({ (try? ProcessInfo(processID: $0))?.hasEnded ?? true }) { return }
      tracer.handleEvents()
      usleep(200)
    }
  }
}
