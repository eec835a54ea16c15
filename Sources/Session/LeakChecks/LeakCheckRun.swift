import AllocationTracing
import Glibc
import LeakAnalysis
import ProcessControl
import ProcessImage
import Quantities
import Symbolization
import TraceModel

/// The leak checks of one trace. There is one at each report, and one at the exit of each process that leaktrace has
/// started.
final class LeakCheckRun {
  /// Holds the command and its children at their exit, so that they can be checked there.
  let watch: ExitWatch?
  private let checker: LeakChecker
  private let tracer: AllocationTracer
  private let symbolizer: Symbolizer
  private var results: [ObjectIdentifier: LeakCheckResult] = [:]
  /// Why processes could not be checked, at the last report and at their exit.
  var notes: [String] { currentNotes + exitNotes + missedNotes }
  /// Whether a process that was to be checked was not.
  var hasGaps: Bool {
    !currentNotes.isEmpty || !failedAtExit.isEmpty || !missedNotes.isEmpty || results.isEmpty
  }
  private var currentNotes: [String] = []
  private var exitNotes: [String] = []
  private var failedAtExit: Set<Int32> = []
  /// How many bytes of each block a report shows, and those bytes for processes that have ended since.
  private let dumpBytes: Int
  private var savedBytes: [Int32: [UInt64: [UInt8]]] = [:]

  /// - Parameter watch: nil unless leaktrace has started the traced command itself.
  init(
    settings: LeakCheckSettings, tracer: AllocationTracer, symbolizer: Symbolizer, watch: ExitWatch?, dumpBytes: Int = 0
  ) {
    self.watch = watch
    self.dumpBytes = dumpBytes
    self.tracer = tracer
    self.symbolizer = symbolizer
    checker = LeakChecker(settings: settings, watch: watch)
  }

  /// The results for the processes as they are now, or for those that have ended, as they were at their end.
  var latestResults: [LeakCheckResult] { Array(results.values) }

  /// Targets that ended before any check, such as those that were killed.
  private var missedNotes: [String] {
    let missed = tracer.processes.filter {
      $0.isTarget && $0.state != .running && results[ObjectIdentifier($0)] == nil
        && !failedAtExit.contains($0.processID)
    }
    let list = missed.prefix(5).map { String($0.processID) }.joined(separator: ", ")
    return switch missed.count {
    case 0: []
    case 1: ["process \(list) was not checked for leaks: it ended before a check could take place"]
    default:
      [
        "\(counted(missed.count, "process", "processes")) were not checked for leaks: they ended before a check (\(list)\(missed.count > 5 ? ", …" : ""))"
      ]
    }
  }

  /// Checks every process that is running.
  func checkRunning() {
    currentNotes = []
    checkHeld()
    for process in tracer.processes {
      let id = ObjectIdentifier(process)
      // A check at the exit of a process is final.
      if let result = results[id], result.summary.method == .atExit, result.generation == process.generation {
        continue
      }
      if process.state != .running {
        results[id]?.isPast = true
        continue
      }
      // The old result is released first, because two results at once would take twice the memory.
      results[id] = nil
      do {
        let result = try checker.check(TracedSubject(process, of: tracer))
        HolderNaming.prepare(result, of: process, tracer: tracer, symbolizer: symbolizer)
        results[id] = result
      } catch {
        if waitForExit(of: process), results[id]?.summary.method == .atExit { continue }
        currentNotes.append("process \(process.processID) was not checked for leaks: \(error)")
      }
    }
  }

  /// A process that could not be checked may be about to end, and can then be checked at its exit. Waits up to a second
  /// for that. Returns false if its exit is not watched.
  private func waitForExit(of process: TracedProcess) -> Bool {
    guard let watch, watch.isWatched(process.processID) else { return false }
    var ready = pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)
    poll(&ready, 1, 1000)
    checkHeld()
    return true
  }

  /// Checks the processes that wait at their exit, and lets them go.
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
        HolderNaming.prepare(result, of: process, tracer: tracer, symbolizer: symbolizer)
        results[ObjectIdentifier(process)] = result
        saveFirstBytes(of: process)
      } catch {
        failedAtExit.insert(processID)
        exitNotes.append("process \(processID) was not checked for leaks at its exit: \(error)")
      }
    }
  }

  // MARK: First bytes

  /// The largest number of blocks of one process whose first bytes are kept.
  private static let mostSavedBlocks = 50_000

  /// Keeps the first bytes that a report may show, because the memory of the process is about to disappear.
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
      exitNotes.append(
        "process \(process.processID): first bytes of \(groupedNumber(Self.mostSavedBlocks)) blocks only")
    }
  }

  /// Adds the first bytes of its blocks to every block that a report lists.
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
