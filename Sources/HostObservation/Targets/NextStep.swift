import KernelStatistics
import Quantities
import Runtimes
import TextOutput

/// What to do about a series that grows: the commands can be run as they stand, and each has its reason.
package struct NextStep: Hashable, Sendable {
  /// The command that finds the code.
  package var command: String
  package var reason: String
  /// The command that keeps the host safe meanwhile; nil where there is nothing to guard.
  package var mitigation: String?

  package init(command: String, reason: String, mitigation: String? = nil) {
    self.command = command
    self.reason = reason
    self.mitigation = mitigation
  }

  /// - Parameters:
  ///   - profile: of the process, where the series is one.
  ///   - largestMember: the process of a control group that grows most.
  ///   - removed: files in memory that have no name any more; nil where nobody has looked for them.
  package init(
    for entry: RankedSeries, profile: TargetProfile?, largestMember: Int32? = nil, removed: RemovedFiles? = nil
  ) {
    let kind = entry.kinds.first?.kind
    switch entry.key {
    case .process(let processID, _):
      self = Self.process(processID, profile ?? TargetProfile(), kind)
    case .cgroup(let path):
      if kind == .kernel {
        self.init(
          command: "sudo leaktrace kernel --duration 60s --stacks suspects",
          reason: "the group grows by kernel memory that its processes cause")
      } else if kind == .sharedMemory {
        self.init(
          command: "sudo du -xsh /dev/shm /run /tmp && ipcs -m",
          reason: "the group grows by shared memory or tmpfs, which outlives its processes")
        if let held = Self.holding(removed, of: entry.bytes) { self = held }
      } else if let largestMember {
        self = Self.process(largestMember, profile ?? TargetProfile(), kind)
        reason = "process \(largestMember) is the group's that grows most; " + reason
      } else {
        self.init(
          command: "leaktrace observe --for 5m",
          reason: "no process of \(path) grows by itself: they are many and short-lived, or it grows slowly")
      }
    case .slabCache(let name):
      self.init(
        command: "sudo leaktrace kernel --cache \(shellQuoted(name)) --stacks all --duration 60s",
        reason: entry.isReclaimable
          ? "a cache that the kernel shrinks by itself: only of interest if it does not"
          : "a slab cache of the kernel grows")
    case .vmalloc(let function):
      self.init(
        command: "sudo leaktrace kernel --source vmalloc --stacks all --duration 60s",
        reason: "\(function) keeps memory of vmalloc")
    case .kernel(KernelMemory.Kind.shared.rawValue):
      self.init(
        command: "sudo du -xsh /dev/shm /run /tmp && ipcs -m -p",
        reason: "files in memory and shared memory: they stay until somebody removes them")
      if let held = Self.holding(removed, of: entry.bytes) { self = held }
    case .kernel(let name) where KernelMemory.Kind(rawValue: name)?.isKernel == false:
      self.init(
        command: "leaktrace observe --for 5m",
        reason: "\(name) as a whole: memory of programs, which is not the kernel's own; the rows of processes say whose"
      )
    case .kernel(let name):
      self.init(command: Self.kernelCommand(name), reason: "the kernel's own memory grows: \(name)")
    case .tmpfs(let mountPoint):
      self.init(
        command: "sudo du -xah \(shellQuoted(mountPoint)) | sort -h | tail",
        reason: "files in memory: they stay until somebody removes them")
      if let held = Self.holding(removed, of: entry.bytes) { self = held }
    case .sharedSegment(let name):
      self.init(command: "ipcs -m -p", reason: "\(name) of System V shared memory; it stays until it is removed")
    }
    if let owner = entry.owner, owner.kind == .unit, owner.name.hasSuffix(".service") {
      // Whatever the name begins with is not to be taken for an option.
      let isLikeOption = owner.name.utf8.first == UInt8(ascii: "-")
      mitigation = "sudo leaktrace guard " + (isLikeOption ? "--dry-run -- " : "") + shellQuoted(owner.name)
      if !isLikeOption { mitigation? += " --dry-run" }
    }
  }

  /// What to do where a good part of the memory is files that only processes hold: no command that lists files shows them, and
  /// there is nothing to remove.
  private static func holding(_ removed: RemovedFiles?, of bytes: UInt64) -> NextStep? {
    guard let removed, removed.bytes > 0, removed.bytes >= bytes / 4 else { return nil }
    let holders = removed.holders
    guard let first = holders.first else { return nil }
    let own = removed.files.filter { file in file.holders.contains { $0.processID == first.processID } }
    let descriptors = own.compactMap { file in
      file.holders.first { $0.processID == first.processID && $0.descriptor != nil }?.descriptor
    }
    let place =
      switch descriptors.count {
      case 0: "by mappings"
      case 1: "by its descriptor \(descriptors[0])"
      default: "by descriptors, such as \(descriptors[0]) with \(own[0].name)"
      }
    let others = holders.count - 1
    let files = first.files == 1 ? "a file" : "\(first.files) files"
    return NextStep(
      command: descriptors.isEmpty
        ? "sudo grep '(deleted)' /proc/\(first.processID)/maps"
        : "sudo ls -l /proc/\(first.processID)/fd | grep '(deleted)'",
      reason:
        "process \(first.processID) (\(first.command)) holds \(ByteSize.text(first.bytes, unit: "B")) of \(files) "
        + "without a name \(place); "
        + (others > 0 ? "\(others) other \(others == 1 ? "process holds" : "processes hold") such files, too; " : "")
        + "the memory comes back when they are closed")
  }

  private static func kernelCommand(_ name: String) -> String {
    switch KernelMemory.Kind(rawValue: name) {
    case .percpu: "sudo leaktrace kernel --source percpu --stacks all --duration 60s"
    case .vmalloc, .threadStacks: "sudo leaktrace kernel --source vmalloc --stacks all --duration 60s"
    case .unaccounted, .pageTables, .hugePages: "sudo leaktrace kernel --pages --stacks all --duration 60s"
    case .unreclaimableSlab, .reclaimableSlab: "sudo leaktrace kernel --source slab --stacks all --duration 60s"
    default: "sudo leaktrace kernel --where"
    }
  }

  private static func process(_ processID: Int32, _ profile: TargetProfile, _ kind: GrowthKind?) -> NextStep {
    let trace = "sudo leaktrace trace -p \(processID)"
    switch kind {
    case .sharedMemory, .tmpfs:
      return NextStep(
        command: "\(trace) --sort growth --duration 60s", reason: "it maps shared memory; mmap is traced with its stack"
      )
    case .stacks:
      return NextStep(
        command: "\(trace) --sort growth --duration 60s",
        reason: "stacks grow: threads that are not joined, or recursion")
    default: break
    }
    let suggestion = (profile.runtime ?? .native).suggestion(
      for: Runtime.Subject(processID: processID, allocator: profile.allocator?.name))
    return NextStep(command: "\(trace) \(suggestion.options)", reason: suggestion.reason)
  }
}
