import Synchronization

/// CPU time of processes that worked for this one and have ended, so that it is counted as ours.
package enum HelperTime {
  private static let nanoseconds = Atomic<UInt64>(0)

  package static func add(seconds: Double) {
    nanoseconds.wrappingAdd(UInt64(max(0, min(seconds, 1e9)) * 1e9), ordering: .relaxed)
  }

  package static var seconds: Double { Double(nanoseconds.load(ordering: .relaxed)) / 1e9 }
}
