import Accounting
import ReportAnalysis
import TraceModel

extension ReportBuilder {
  /// Where the blocks of a site are freed as a rule, the most frequent place first; nil when no free was looked at.
  ///
  /// - Parameter roles: tells whose code the frames are: the innermost frames that free on behalf of others are left out.
  func freePlaces(of draft: SiteDraft, roles: FrameRoles) -> [FreePlace]? {
    let allocated = draft.sums.allocated.count
    guard draft.key.allocationClass == .heap, allocated > 0 else { return nil }
    let process = snapshot.processes[draft.process]
    var places: [FreePlace] = []
    var all: UInt64 = 0
    for (index, identity) in draft.sites {
      for record in snapshot.frees[index] ?? [] where record.siteCheck == UInt32(truncatingIfNeeded: identity >> 32) {
        let code = RecordedCode(
          processID: process.processID, imageNumber: process.imageNumber, epoch: record.epoch)
        let frames = Self.withoutLeaf(naming.frames(of: snapshot.stack(hash: record.stackHash), in: code), roles)
        all &+= record.frees
        places.add(FreePlace(frames: frames, sampledCount: record.samples, share: Double(record.frees)))
      }
    }
    guard all > 0 else { return nil }
    let freed = min(1, Double(draft.sums.freed.count) / Double(allocated))
    for index in places.indices { places[index].share *= freed / Double(all) }
    return Array(places.sorted { $0.share > $1.share }.prefix(Self.mostFreePlaces))
  }

  private static let mostFreePlaces = 8

  /// The frames from the innermost one on that is the program's own.
  private static func withoutLeaf(_ frames: [Frame], _ roles: FrameRoles) -> [Frame] {
    let own = frames.firstIndex { !roles.role(of: $0, isKernel: false).isFolded }
    let caller = frames.firstIndex { roles.role(of: $0, isKernel: false) != .allocator }
    return Array(frames[(own ?? caller ?? frames.startIndex)...])
  }
}
