/// What /proc/PID/stat and /proc/PID/status say of one process's memory at one moment, in bytes.
package struct ProcessMemory: Hashable, Sendable {
  package var processID: Int32
  package var command: String
  /// The process's start, in clock ticks since boot: together with the id it names one process and no later one.
  package var startTimeInTicks: UInt64
  /// The page faults so far that needed no disk: each new page of a heap causes one.
  package var minorFaults: UInt64
  package var majorFaults: UInt64
  package var threads: UInt64
  /// Bytes of private pages.
  package var anonymous: UInt64 = 0
  package var file: UInt64 = 0
  /// Shared memory and tmpfs that it has mapped and touched.
  package var shared: UInt64 = 0
  package var swap: UInt64 = 0
  package var pageTables: UInt64 = 0

  package var resident: UInt64 { anonymous &+ file &+ shared }
  /// The bytes that only the end of the process gives back: the kernel can drop pages of files by itself.
  package var charged: UInt64 { anonymous &+ shared &+ swap &+ pageTables }

  package init(processID: Int32, command: String, startTimeInTicks: UInt64) {
    self.processID = processID
    self.command = command
    self.startTimeInTicks = startTimeInTicks
    minorFaults = 0
    majorFaults = 0
    threads = 1
  }

  /// `PF_KTHREAD` of linux/sched.h.
  private static let kernelThreadFlag: UInt64 = 0x0020_0000

  /// - Returns: nil for a kernel thread, a process that has ended, and text that is not the kernel's.
  package init?(processID: Int32, stat: Bytes) {
    // The name may hold anything, parentheses and blanks included: it ends at the last ")".
    guard let open = stat.firstIndex(of: 0x28), let close = stat.lastIndex(of: 0x29), open < close,
      close + 2 < stat.count
    else { return nil }
    let state = stat[close + 2]
    if state == 0x5a || state == 0x58 { return nil }
    var place = close + 3
    // Counted from the field behind the state: 5 flags, 6 minflt, 8 majflt, 16 threads, 18 start time.
    var fields: (flags: UInt64, minor: UInt64, major: UInt64, threads: UInt64, start: UInt64) = (0, 0, 0, 0, 0)
    for field in 0...18 {
      while place < stat.count, stat[place] == 0x20 { place += 1 }
      if place < stat.count, stat[place] == 0x2d { place += 1 }
      guard let value = ProcText.number(stat, &place) else { return nil }
      switch field {
      case 5: fields.flags = value
      case 6: fields.minor = value
      case 8: fields.major = value
      case 16: fields.threads = value
      case 18: fields.start = value
      default: break
      }
    }
    if fields.flags & Self.kernelThreadFlag != 0 { return nil }
    self.processID = processID
    command = String(decoding: stat[(open + 1)..<close], as: UTF8.self)
    startTimeInTicks = fields.start
    minorFaults = fields.minor
    majorFaults = fields.major
    threads = fields.threads
  }

  /// Takes the sizes from the text of /proc/PID/status; returns whether there were any.
  package mutating func readSizes(status: Bytes) -> Bool {
    var sizes = self
    var found = false
    ProcText.forEachField(status) { name, value in
      // The names that matter begin with "Rss" or "Vm".
      guard name.count >= 5, name[0] == 0x52 || name[0] == 0x56 else { return }
      if ProcText.equals(name, "RssAnon") {
        sizes.anonymous = value.kibibytes
        found = true
      } else if ProcText.equals(name, "RssFile") {
        sizes.file = value.kibibytes
      } else if ProcText.equals(name, "RssShmem") {
        sizes.shared = value.kibibytes
      } else if ProcText.equals(name, "VmSwap") {
        sizes.swap = value.kibibytes
      } else if ProcText.equals(name, "VmPTE") {
        sizes.pageTables = value.kibibytes
      }
    }
    self = sizes
    return found
  }
}
