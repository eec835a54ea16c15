import Glibc
import ProcessControl
import ProcessImage
import SystemSupport
import TraceModel

/// Checks processes for leaks.
package final class LeakChecker {
  package let settings: LeakCheckSettings
  /// Traces the processes whose exit is waited for; others are traced for as long as they are stopped.
  private let watch: ExitWatch?
  private let restart = SystemCallRestart()

  package init(settings: LeakCheckSettings, watch: ExitWatch? = nil) {
    self.settings = settings
    self.watch = watch
  }

  /// Searches a running process: stopped, if that is allowed and possible.
  package func check(_ subject: some LeakCheckSubject) throws -> LeakCheckResult {
    guard settings.maximumPause > .zero else { return try checkRunning(subject, note: nil) }
    if let reason = ProcessPause.danger(to: subject.processID, within: settings.maximumPause) {
      return try checkRunning(subject, note: "not stopped: \(reason); searched while it ran instead")
    }
    do {
      return try checkStopped(subject)
    } catch let failure as ProcessPause.Failure {
      switch failure {
      case .gone: throw Refusal("process \(subject.processID) has ended")
      case .traced(let tracer):
        return try checkRunning(
          subject, note: "not stopped: process \(tracer) traces it already; searched while it ran instead")
      case .refused(let code):
        return try checkRunning(
          subject, note: "not stopped: \(errorMessage(code)); searched while it ran instead")
      case .tooSlow:
        return try checkRunning(
          subject, note: "not stopped: its threads did not stop in time; searched while it ran instead")
      }
    } catch let short as PauseTooShort {
      return try checkRunning(
        subject,
        note: "let go before its blocks were listed: that takes longer than --max-pause; searched while it ran",
        paused: short.paused)
    }
  }

  // MARK: Stopped

  /// The process went on before its blocks were listed.
  private struct PauseTooShort: Error {
    let paused: Duration
  }

  private func checkStopped(_ subject: some LeakCheckSubject) throws -> LeakCheckResult {
    let start = ContinuousClock.now
    let layout = try makeLayout(of: subject)
    subject.handleEvents()
    let generation = subject.generation
    var method = LeakCheckSummary.Method.paused
    var (job, paused, isCut) = try withPause(of: subject) { stop in
      let job = try SearchJob(
        subject, threads: stop.pause.threads, layout: layout, settings: settings, generation: generation)
      guard stop.isOn() else { throw PauseTooShort(paused: stop.pause.duration) }
      job.read(until: stop.pause.start + stop.pause.timeToSearch(within: settings.maximumPause))
      let isCut = !stop.end()
      return (job, stop.pause.duration, isCut)
    }
    var searches: [LeakCheckResult.Search] = []
    var changed: Set<UInt64> = []
    var youngestLost = UInt64.max
    if isCut || !job.isComplete {
      // What could not be read in the pause is read while the process runs. Blocks that seem lost then must seem lost
      // in another search, too.
      method = .mixed
      job.readAll(subject)
      youngestLost = job.time &- UInt64(max(0, settings.minimumAge / .nanoseconds(1)))
      searches.append(job.finish())
      let fingerprints = Fingerprints(of: searches[0].reachability, processID: layout.memoryOwner)
      job = try searchRunning(subject, layout, generation: generation)
      changed = fingerprints.changed()
    }
    searches.append(job.finish())
    var summary = LeakCheckSummary(processID: subject.processID, paused: paused, method: method)
    summary.took = .now - start
    summary.scannedBytes = job.scannedBytes
    summary.notes = job.notes
    return LeakCheckResult(
      processID: subject.processID, generation: generation, summary: summary, time: job.time, searches: searches,
      changedBlocks: changed, youngestLost: youngestLost)
  }

  /// A process that stands still.
  private struct Stop {
    let pause: ProcessPause
    /// Whether the process still stands still.
    let isOn: () -> Bool
    /// Lets it go; false if that happened before.
    let end: () -> Bool
  }

  /// Runs a closure while the process stands still, which ends with the closure at the latest, and before it if the longest
  /// pause is over.
  private func withPause<Value>(
    of subject: some LeakCheckSubject, _ body: (Stop) throws -> Value
  ) throws -> Value {
    try withRaisedPriority(forPauseOf: settings.maximumPause) {
      // A thread that is stuck in the kernel does not stop however long we wait for it, and the search needs the time.
      let patience = min(.milliseconds(100), settings.maximumPause / 4)
      let limit = settings.maximumPause
      let processID = subject.processID
      if let watch, watch.isWatched(processID) {
        let pause = try watch.pause(processID, patience: patience, limit: limit, whileWaiting: subject.handleEvents)
        let stop = Stop(pause: pause, isOn: { watch.isOn(pause) }, end: { watch.resume(pause) })
        defer { _ = stop.end() }
        return try body(stop)
      }
      let thread = TracerThread()
      // Ending the thread also lets go the threads that could not be resumed.
      defer { thread.end() }
      let pause = try thread.pause(
        processID, restart: restart, patience: patience, limit: limit, whileWaiting: subject.handleEvents)
      let stop = Stop(pause: pause, isOn: { thread.isOn(pause) }, end: { thread.resume(pause) })
      defer { _ = stop.end() }
      return try body(stop)
    }
  }

  // MARK: At its exit

  /// Searches a process that is held at its exit with these threads.
  package func checkAtExit(_ subject: some LeakCheckSubject, threads: [StoppedThread]) throws -> LeakCheckResult {
    let start = ContinuousClock.now
    let layout = try makeLayout(of: subject)
    subject.handleEvents()
    let job = try SearchJob(
      subject, threads: threads, layout: layout, settings: settings, generation: subject.generation)
    job.readAll(subject)
    var summary = LeakCheckSummary(processID: subject.processID, method: .atExit)
    let search = job.finish()
    summary.took = .now - start
    summary.paused = summary.took
    summary.scannedBytes = job.scannedBytes
    summary.notes = job.notes
    return LeakCheckResult(
      processID: subject.processID, generation: subject.generation, summary: summary, time: job.time,
      searches: [search])
  }

  // MARK: Running

  /// - Parameter paused: how long it was stopped in vain.
  private func checkRunning(
    _ subject: some LeakCheckSubject, note: String?, paused: Duration = .zero
  ) throws -> LeakCheckResult {
    let start = ContinuousClock.now
    subject.handleEvents()
    let generation = subject.generation
    var searches: [LeakCheckResult.Search] = []
    var changed: Set<UInt64> = []
    var fingerprints: Fingerprints?
    var scannedBytes: UInt64 = 0
    var firstTime: UInt64 = 0
    var notes: [String] = []
    for number in 0..<max(2, settings.searches) {
      if number > 0 { usleep(UInt32(max(0, settings.searchInterval / .microseconds(1)))) }
      subject.handleEvents()
      let layout = try makeLayout(of: subject)
      let job = try searchRunning(subject, layout, generation: generation)
      if number == 0 { firstTime = job.time }
      scannedBytes = job.scannedBytes
      notes = job.notes
      searches.append(job.finish())
      if let fingerprints { changed.formUnion(fingerprints.changed()) }
      if number == 0 { fingerprints = Fingerprints(of: searches[0].reachability, processID: layout.memoryOwner) }
    }
    var summary = LeakCheckSummary(processID: subject.processID, paused: paused, method: .running)
    summary.took = .now - start
    summary.scannedBytes = scannedBytes
    summary.notes = (note.map { [$0] } ?? []) + notes
    return LeakCheckResult(
      processID: subject.processID, generation: generation, summary: summary, time: firstTime, searches: searches,
      changedBlocks: changed, youngestLost: firstTime &- UInt64(max(0, settings.minimumAge / .nanoseconds(1))))
  }

  private func searchRunning(
    _ subject: some LeakCheckSubject, _ layout: ProcessLayout, generation: UInt32
  ) throws -> SearchJob {
    let job = try SearchJob(
      subject, threads: [], layout: layout, settings: settings, generation: generation, isRunning: true)
    job.readAll(subject)
    return job
  }

  private func makeLayout(of subject: some LeakCheckSubject) throws -> ProcessLayout {
    do {
      return try ProcessLayout(
        processID: subject.processID, blockCount: subject.blockCount, searchThreads: settings.scan.threads)
    } catch {
      throw Refusal("process \(subject.processID) cannot be checked for leaks: \(error)")
    }
  }
}
