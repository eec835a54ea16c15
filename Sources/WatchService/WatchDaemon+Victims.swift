import Glibc
import HostObservation
import KernelTracing
import SystemSupport
import Watch

/// The OOM killer's victims, told of and kept at the moment they are marked.
extension WatchDaemon {
  func watchVictims() {
    do { victims = try tracer.watchVictims() } catch {
      // The counters of control groups tell of them at the next look.
      log.notice("victims of the OOM killer are only seen at the next look: \(error)")
    }
  }

  /// Saves what is known of new victims: their trace, if they are traced now, and what held the memory of their group.
  /// Returns whether the host should be looked at now.
  func takeVictims() -> Bool {
    let new = victims?.take() ?? []
    for victim in new { save(victim) }
    // The sizes of this moment are kept, however long ago the last ones were.
    if !new.isEmpty { lastKept = -.infinity }
    return !new.isEmpty
  }

  private func save(_ victim: OutOfMemoryWatch.Victim) {
    let processID = victim.processID
    // It is still there for a moment, and may have grown a lot since the last look.
    let now = host.process(processID)
    let known = observer.tracks.values.first { $0.latestProcess?.processID == processID }?.latestProcess
    let command = victim.command ?? now?.command ?? known?.command
    // Where it is gone already, the counter of its group tells of it at the look that follows.
    // In version 1, what has ended is in the root group.
    let current = host.cgroup(of: processID)
    let earlier = armed?.processID == processID ? armedGroup : nil
    let group = current?.isEmpty == false ? current : earlier ?? current
    let bytes = max(now?.charged ?? 0, known?.charged ?? 0)
    var alert = Alert(reason: .oom, kind: "process", name: String(processID), command: command, bytes: bytes)
    alert.cgroup = group
    alert.growingAt = growingAt[processID] ?? []
    // It may be gone before its group is looked through.
    let itself = Alert.Member(processID: processID, command: command ?? "?", bytes: bytes)
    let others = (group.map { members(of: $0) } ?? []).filter { $0.processID != processID }
    alert.members = ([itself] + others).sorted { $0.bytes > $1.bytes }
    if let group {
      groupsOfVictims.insert(group)
      cgroupsInTrouble.insert(group)
    }
    if armed?.processID == processID, profileRequest == nil { endTrace(early: false, reason: "oom") }
    if let command { commandsOfVictims[command] = clock.monotonicSeconds }
    status.oomVictims += 1
    give(alert)
  }
}
