import ProcessControl

/// A process as a leak check sees it: what is known of it beside what lies in its memory.
package protocol LeakCheckSubject: AnyObject {
  var processID: Int32 { get }
  /// A number that changes when the process runs another program (exec).
  var generation: UInt32 { get }
  /// About how many outstanding blocks there are: never less than the true number.
  var blockCount: Int { get }
  /// Takes in what the process has done until now; called while threads of it may wait for us, too.
  func handleEvents()
  /// Adds every outstanding heap block of one of so many parts of all, each of which a thread of its own collects.
  func collectBlocks(part: Int, of parts: Int, into add: (LeakBlock, _ tag: UInt32) -> Void) throws
  /// What the tracer knows of the process's memory beside its blocks. The threads given are stopped.
  func heapKnowledge(threads: [StoppedThread]) -> HeapKnowledge
}

/// How leak checks are made.
package struct LeakCheckSettings: Sendable {
  package var scan = ScanOptions()
  /// The longest time that a process may be stopped; zero means that it is never stopped.
  package var maximumPause = Duration.milliseconds(250)
  /// A process that is not stopped is searched this many times.
  package var searches = 3
  /// Time between these.
  package var searchInterval = Duration.milliseconds(50)
  /// Blocks younger than this are not called lost by searches of a process that runs.
  package var minimumAge = Duration.seconds(1)

  package init() {}
}
