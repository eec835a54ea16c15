import Glibc
import HostObservation
import KernelTracing
import SystemSupport
import Watch

/// Reports the OOM killer's victims, and saves what is known of them, at the moment at which the kernel marks them.
extension WatchDaemon {
  func watchVictims() {
    do { victims = try tracer.watchVictims() } catch {
      // Without this, the counters of control groups show at the next look that there was a victim.
      log.notice("victims of the OOM killer are only seen at the next look: \(error)")
    }
  }

  /// Saves what is known of new victims: their trace, if they are being traced, and what held the memory of their
  /// group. Returns whether the host should be looked at now.
  func takeVictims() -> Bool {
    let new = victims?.take() ?? []
    for victim in new { save(victim) }
    // Makes the next look keep the sizes of this moment, even if the last ones were kept only a short time ago.
    if !new.isEmpty { lastKept = -.infinity }
    return !new.isEmpty
  }

  private func save(_ victim: OutOfMemoryWatch.Victim) {
    let processID = victim.processID
    // The process still exists for a moment, and may have grown a lot since the last look.
    let now = host.process(processID)
    let known = observer.tracks.values.first { $0.latestProcess?.processID == processID }?.latestProcess
    let command = victim.command ?? now?.command ?? known?.command
    // If the process is gone already, its group is not known any more, and the counter of the group tells of the victim
    // at the next look. In version 1, a process that has ended is in the root group, so the group that was noted
    // earlier is preferred.
    let current = host.cgroup(of: processID)
    let earlier = armed?.processID == processID ? armedGroup : nil
    let group = current?.isEmpty == false ? current : earlier ?? current
    let bytes = max(now?.charged ?? 0, known?.charged ?? 0)
    var alert = Alert(reason: .oom, kind: "process", name: String(processID), command: command, bytes: bytes)
    alert.cgroup = group
    alert.growingAt = growingAt[processID] ?? []
    // The victim is added explicitly, because it may be gone before the processes of its group are listed.
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
