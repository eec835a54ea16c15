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
  private var results: [ObjectIdentifier: LeakCheckResult] = [:]
  /// Why processes could not be checked: now, and at their exit.
  var notes: [String] { currentNotes + exitNotes }
  private var currentNotes: [String] = []
  private var exitNotes: [String] = []
  /// How many bytes of each block reports show, and those of blocks in processes that have ended since.
  private let dumpBytes: Int
  private var savedBytes: [Int32: [UInt64: [UInt8]]] = [:]

  /// - Parameter watch: there when the trace is of a command.
  init(settings: LeakCheckSettings, tracer: AllocationTracer, watch: ExitWatch?, dumpBytes: Int = 0) {
    self.watch = watch
    self.dumpBytes = dumpBytes
    self.tracer = tracer
    checker = LeakChecker(settings: settings, watch: watch)
  }

  /// Of the processes as they are now, or were at their end.
  var latestResults: [LeakCheckResult] { Array(results.values) }

  /// Checks every process that runs.
  func checkRunning() {
    currentNotes = []
    checkHeld()
    for process in tracer.processes {
      let id = ObjectIdentifier(process)
      // What was found out at its exit is final.
      if let result = results[id], result.summary.method == .atExit, result.generation == process.generation {
        continue
      }
      if process.state != .running {
        results[id]?.isPast = true
        continue
      }
      // Two at once would take twice the memory.
      results[id] = nil
      do {
        results[id] = try checker.check(TracedSubject(process, of: tracer))
      } catch {
        if waitForExit(of: process), results[id]?.summary.method == .atExit { continue }
        currentNotes.append("process \(process.processID) was not checked for leaks: \(error)")
      }
    }
  }

  /// The process that could not be checked may be about to end, and be checked then. Returns whether it can be.
  private func waitForExit(of process: TracedProcess) -> Bool {
    guard let watch, watch.isWatched(process.processID) else { return false }
    var ready = pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)
    poll(&ready, 1, 1000)
    checkHeld()
    return true
  }

  /// Checks processes that wait at their exit, and lets them go.
  func checkHeld() {
    guard let watch else { return }
    for processID in watch.takeHeld() {
      defer { watch.release(processID) }
      tracer.handleEvents()
      guard let process = tracer.processes.last(where: { $0.processID == processID && $0.state == .running }) else {
        continue
      }
      let threads = watch.heldThreads(of: processID)
      do {
        let result = try checker.checkAtExit(TracedSubject(process, of: tracer), threads: threads)
        results[ObjectIdentifier(process)] = result
        saveFirstBytes(of: process)
      } catch {
        exitNotes.append("process \(processID) was not checked for leaks at its exit: \(error)")
      }
    }
  }

  // MARK: First bytes

  /// So many blocks of one process at most are kept for their first bytes.
  private static let mostSavedBlocks = 50_000

  /// Keeps what a report may show, because the process's memory is about to go.
  private func saveFirstBytes(of process: TracedProcess) {
    guard dumpBytes > 0, let memory = try? RemoteMemory(processID: process.processID) else { return }
    var saved: [UInt64: [UInt8]] = [:]
    func save(_ address: UInt64, _ size: UInt64) {
      guard saved.count < Self.mostSavedBlocks else { return }
      saved[address] = memory.bytes(at: address, count: Int(min(size, UInt64(dumpBytes))))
    }
    try? tracer.forEachOutstandingBlock(of: process) { address, size, _, _ in save(address, size) }
    for mapping in tracer.outstandingMappings(of: process) {
      save(mapping.range.lowerBound, mapping.range.upperBound - mapping.range.lowerBound)
    }
    savedBytes[process.processID] = saved
    if saved.count == Self.mostSavedBlocks {
      exitNotes.append("process \(process.processID): first bytes of \(Self.mostSavedBlocks) blocks only")
    }
  }

  /// Puts the first bytes of the blocks that a report lists beside them.
  func addFirstBytes(to report: inout Report) {
    guard dumpBytes > 0 else { return }
    for index in report.sites.indices where !report.sites[index].allocations.isEmpty {
      let processID = report.sites[index].processID
      let saved = savedBytes[processID]
      let memory = saved == nil ? try? RemoteMemory(processID: processID) : nil
      for block in report.sites[index].allocations.indices {
        let allocation = report.sites[index].allocations[block]
        let count = Int(min(allocation.sizeInBytes, UInt64(dumpBytes)))
        report.sites[index].allocations[block].firstBytes =
          saved?[allocation.address] ?? memory?.bytes(at: allocation.address, count: count) ?? []
      }
    }
  }
}
