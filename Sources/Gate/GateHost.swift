import CProcessControl
import Glibc
import ProcessControl
import ProcessImage
import SystemSupport

/// Who can make a process stand still, in the thread that makes its ptrace calls.
package protocol GateHost: AnyObject {
  /// Runs a closure while all threads of a process stand still, and lets them go on behind it.
  func withStopped<Value>(_ processID: Int32, _ body: (StoppedTarget) throws -> Value) throws -> Value
}

/// Stops running processes, for as short as can be.
package final class PausingGateHost: GateHost {
  private let thread: TracerThread
  /// Traces some processes for the whole time; nil when nobody does.
  private let watch: ExitWatch?
  private let restart = SystemCallRestart()
  /// A process that cannot be stopped in this time is let go, and the gate is tried later or not at all.
  private static let patience = Duration.milliseconds(50)

  package init(watch: ExitWatch?) {
    self.watch = watch
    thread = watch?.thread ?? TracerThread()
  }

  package func withStopped<Value>(_ processID: Int32, _ body: (StoppedTarget) throws -> Value) throws -> Value {
    // A filter of system calls may kill the process for a call of ours.
    if let danger = ProcessPause.danger(to: processID, within: .milliseconds(250)) { throw GateFailure.refused(danger) }
    do {
      if let watch {
        return try watch.withStopped(processID, patience: Self.patience) { try run($0, body) }
      }
      return try thread.perform {
        let pause = try ProcessPause(processID: processID, restart: restart, patience: Self.patience)
        defer { pause.resume() }
        return try run(pause, body)
      }
    } catch let failure as ProcessPause.Failure { throw Self.reason(failure) }
  }

  private static func reason(_ failure: ProcessPause.Failure) -> GateFailure {
    switch failure {
    case .gone: .refused("it has ended")
    case .traced(let tracer): .refused("process \(tracer) traces it, a debugger for example")
    case .refused(let code): .refused("it cannot be stopped: \(errorMessage(code))")
    case .tooSlow: .busy
    }
  }

  private func run<Value>(_ pause: ProcessPause, _ body: (StoppedTarget) throws -> Value) throws -> Value {
    guard let mappings = try? ProcessMaps.read(processID: pause.processID) else {
      throw GateFailure.refused("it has ended")
    }
    guard pause.threads.allSatisfy({ $0.registers != nil }) else { throw GateFailure.busy }
    for thread in pause.threads where pause.canCall(thread.threadID) {
      guard let registers = thread.registers,
        let calls = try? RemoteCalls(
          thread: thread.threadID, processID: pause.processID, mappings: mappings, registers: registers, settles: true)
      else { continue }
      return try pause.markingCalls(of: thread.threadID) {
        defer { calls.finish() }
        return try body(
          StoppedTarget(
            processID: pause.processID, threads: pause.threads, mappings: mappings, calls: calls))
      }
    }
    throw GateFailure.busy
  }
}

/// For a program that was started by leaktrace and stands behind a system call before its own code runs.
package final class StandingGateHost: GateHost {
  private let processID: Int32

  package init(processID: Int32) { self.processID = processID }

  /// To be called in the thread that traces the program.
  package func withStopped<Value>(_ processID: Int32, _ body: (StoppedTarget) throws -> Value) throws -> Value {
    guard processID == self.processID, cprocess_get_behind_call(processID) == 0,
      let registers = StoppedThread.Registers(ofStopped: processID),
      let mappings = try? ProcessMaps.read(processID: processID)
    else { throw GateFailure.refused("it is not stopped") }
    let calls = try RemoteCalls(
      thread: processID, processID: processID, mappings: mappings, registers: registers, settles: false)
    let thread = StoppedThread(threadID: processID, registers: registers, stackPointer: registers.stackPointer)
    return try body(StoppedTarget(processID: processID, threads: [thread], mappings: mappings, calls: calls))
  }
}
